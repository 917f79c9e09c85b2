package collector

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Behaviour answers a request in the collector's place and says true, or leaves the answer to the collector and says
// false. The body has been read by then. The spans count as accepted when the status is 2xx.
type Behaviour func(w http.ResponseWriter, r *http.Request) bool

// Status answers with a status and no body.
func Status(code int) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

// RetryAfter answers with a status and a Retry-After header: seconds or an HTTP date.
func RetryAfter(code int, value string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(code)
		return true
	}
}

// Body answers with a status and a body of the given type.
func Body(code int, contentType, body string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		io.WriteString(w, body)
		return true
	}
}

// Garbage answers 200 with a body that claims to be protobuf and is not.
func Garbage() Behaviour {
	return Body(http.StatusOK, "application/x-protobuf", "\xff\xff\xff garbage")
}

// Huge answers 200 with a body of size bytes, which it writes until the client has had enough.
func Huge(size int64) Behaviour {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.WriteHeader(http.StatusOK)
		block := make([]byte, 32<<10)
		for ; size > 0 && r.Context().Err() == nil; size -= int64(len(block)) {
			if _, err := w.Write(block); err != nil {
				break
			}
		}
		return true
	}
}

// PartialSuccess refuses the first rejected spans and accepts the others.
func PartialSuccess(rejected int, message string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if answer, ok := w.(*answerWriter); ok {
			answer.rejected = min(rejected, answer.spans)
		}
		writeResponse(w, &collectorpb.ExportTraceServiceResponse{
			PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: int64(rejected), ErrorMessage: message},
		})
		return true
	}
}

// Hang does not answer until the client goes or the collector stops.
func Hang() Behaviour {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// HangInBody answers 200, announces a body and does not send it.
func HangInBody() Behaviour {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	}
}

// Slow waits before it lets the collector answer.
func Slow(delay time.Duration) Behaviour {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return false
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Reset cuts the connection with a TCP reset instead of an answer.
func Reset() Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		hijack(w, "", func(conn net.Conn) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
		})
		return true
	}
}

// Raw writes bytes as the whole answer and closes the connection. The spans are not accepted, whatever they say.
func Raw(answer string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		hijack(w, answer, func(net.Conn) {})
		return true
	}
}

// Truncated ends the connection in the middle of the answer's header.
func Truncated() Behaviour { return Raw("HTTP/1.1 200 OK\r\nContent-Type: applica") }

// Redirect answers 307 with a Location.
func Redirect(location string) Behaviour {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	}
}

func hijack(w http.ResponseWriter, answer string, before func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(fmt.Sprintf("collector: take over connection: %v", err))
	}
	io.WriteString(conn, answer)
	before(conn)
	conn.Close()
}

// answerWriter notes what was answered.
type answerWriter struct {
	http.ResponseWriter
	spans    int // in the request
	status   int
	rejected int // the leading spans that the answer refuses
}

func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

func writeResponse(w http.ResponseWriter, message *collectorpb.ExportTraceServiceResponse) {
	body, err := proto.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("collector: encode answer: %v", err))
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	io.Copy(w, bytes.NewReader(body))
}

// discardLog keeps the server quiet about connections that tests cut.
var discardLog = log.New(io.Discard, "", 0)
