package traces

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	collectorlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Limits of the receiver.
const (
	maxPost  = 16 << 20 // bytes of a body, also when it is decompressed
	maxPosts = 4        // at once
)

// Receiver takes spans and logs by OTLP/HTTP: POST /v1/traces and /v1/logs, protobuf or JSON, plain or gzip.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp
type Receiver struct {
	store *Store
	slots chan struct{}
}

// NewReceiver makes a receiver that fills a store.
func NewReceiver(store *Store) *Receiver {
	return &Receiver{store: store, slots: make(chan struct{}, maxPosts)}
}

// Codes of google.rpc.Code.
const (
	invalidArgument   = 3
	resourceExhausted = 8
)

// contentType is one of the two that OTLP/HTTP has.
type contentType string

const (
	typeProtobuf contentType = "application/x-protobuf"
	typeJSON     contentType = "application/json"
)

// ServeTraces answers POST /v1/traces.
func (h *Receiver) ServeTraces(w http.ResponseWriter, r *http.Request) {
	var request collectortrace.ExportTraceServiceRequest
	h.serve(w, r, &request, func() proto.Message {
		taken := h.store.TakeSpans(request.GetResourceSpans())
		response := &collectortrace.ExportTraceServiceResponse{}
		if taken.Rejected > 0 {
			response.PartialSuccess = &collectortrace.ExportTracePartialSuccess{
				RejectedSpans: int64(taken.Rejected), ErrorMessage: taken.Reason,
			}
		}
		return response
	})
}

// ServeLogs answers POST /v1/logs.
func (h *Receiver) ServeLogs(w http.ResponseWriter, r *http.Request) {
	var request collectorlogs.ExportLogsServiceRequest
	h.serve(w, r, &request, func() proto.Message {
		taken := h.store.TakeLogs(request.GetResourceLogs())
		response := &collectorlogs.ExportLogsServiceResponse{}
		if taken.Rejected > 0 {
			response.PartialSuccess = &collectorlogs.ExportLogsPartialSuccess{
				RejectedLogRecords: int64(taken.Rejected), ErrorMessage: taken.Reason,
			}
		}
		return response
	})
}

func (h *Receiver) serve(w http.ResponseWriter, r *http.Request, request proto.Message, take func() proto.Message) {
	form, err := formOf(r)
	if err != nil {
		refuse(w, form, http.StatusUnsupportedMediaType, invalidArgument, err)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		refuse(w, form, http.StatusTooManyRequests, resourceExhausted, errors.New("too many posts at once"))
		return
	}
	body, err := readBody(w, r)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large), errors.Is(err, errLarge):
		refuse(w, form, http.StatusRequestEntityTooLarge, invalidArgument, errLarge)
		return
	case errors.Is(err, errEncoding):
		w.Header().Set("Accept-Encoding", "gzip")
		refuse(w, form, http.StatusUnsupportedMediaType, invalidArgument, err)
		return
	case err != nil:
		refuse(w, form, http.StatusBadRequest, invalidArgument, err)
		return
	}
	if form == typeJSON {
		err = UnmarshalJSON(body, request)
	} else {
		err = proto.Unmarshal(body, request)
	}
	if err != nil {
		refuse(w, form, http.StatusBadRequest, invalidArgument, err)
		return
	}
	answer(w, form, http.StatusOK, take())
}

// formOf reads the Content-Type. Where it is none of OTLP's, answers are JSON.
func formOf(r *http.Request) (contentType, error) {
	name, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && (name == string(typeProtobuf) || name == string(typeJSON)) {
		return contentType(name), nil
	}
	return typeJSON, fmt.Errorf("the content type has to be %s or %s", typeProtobuf, typeJSON)
}

var (
	errLarge    = fmt.Errorf("the body is larger than %d bytes", maxPost)
	errEncoding = errors.New("the content encoding has to be gzip or none")
)

// readBody reads and decompresses a body within its limits.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	source := io.Reader(http.MaxBytesReader(w, r.Body, maxPost))
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		unzipped, err := gzip.NewReader(source)
		if err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
		source = unzipped
	default:
		return nil, errEncoding
	}
	body, err := io.ReadAll(io.LimitReader(source, maxPost+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if len(body) > maxPost {
		return nil, errLarge
	}
	return body, nil
}

// refuse answers with a google.rpc.Status, as the protocol wants.
func refuse(w http.ResponseWriter, form contentType, status int, code int32, err error) {
	answer(w, form, status, &statuspb.Status{Code: code, Message: err.Error()})
}

func answer(w http.ResponseWriter, form contentType, status int, message proto.Message) {
	var body []byte
	var err error
	if form == typeJSON {
		body, err = protojson.Marshal(message)
	} else {
		body, err = proto.Marshal(message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(form))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
