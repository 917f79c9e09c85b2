package manager

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"sidekong/admin/traces"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxFile      = 32 << 20 // bytes of a file to import
	maxImports   = 2        // at once
)

// filter reads the filter of a request. Where it cannot be read, that is answered.
func filter(w http.ResponseWriter, r *http.Request) (f *traces.Filter, ok bool) {
	f, err := traces.ParseFilter(r.URL.Query().Get("filter"))
	var fault *traces.FilterError
	if errors.As(err, &fault) {
		writeJSON(w, http.StatusBadRequest, FilterFault{Message: fault.Text, Position: fault.Position, Length: fault.Length})
		return nil, false
	}
	return f, true
}

func (m *manager) list(w http.ResponseWriter, r *http.Request) {
	f, ok := filter(w, r)
	if !ok {
		return
	}
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			fail(w, http.StatusBadRequest, "limit is a number from 1 to 1000")
			return
		}
	}
	page := m.Store.List(f, r.URL.Query().Get("before"), limit)
	writeJSON(w, http.StatusOK, List(page))
}

func (m *manager) clear(w http.ResponseWriter, _ *http.Request) {
	m.Store.Clear()
	w.WriteHeader(http.StatusNoContent)
}

func (m *manager) complete(w http.ResponseWriter, _ *http.Request) {
	names, values := m.Store.Completions()
	writeJSON(w, http.StatusOK, Completions{Names: names, Values: values})
}

func unknownTrace(w http.ResponseWriter) {
	fail(w, http.StatusNotFound, "this trace is not here, or not here any more")
}

func (m *manager) trace(w http.ResponseWriter, r *http.Request) {
	t, ok := m.Store.Get(r.PathValue("id"))
	if !ok {
		unknownTrace(w)
		return
	}
	writeJSON(w, http.StatusOK, t)
}

func (m *manager) otlp(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	data, ok := m.Store.OTLP(id)
	if !ok {
		unknownTrace(w)
		return
	}
	text, err := traces.MarshalJSON(data)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Disposition", `attachment; filename="trace-`+id+`.json"`) // id is hexadecimal
	_, _ = w.Write(append(text, '\n'))                                                // the client may have gone
}

func (m *manager) applied(w http.ResponseWriter, r *http.Request) {
	t, ok := m.Store.Get(r.PathValue("id"))
	if !ok || m.Applied == nil {
		unknownTrace(w)
		return
	}
	place := 0
	if text := r.URL.Query().Get("record"); text != "" {
		var err error
		if place, err = strconv.Atoi(text); err != nil {
			fail(w, http.StatusBadRequest, "record is a number")
			return
		}
	}
	if place < 0 || place >= len(t.Requests) {
		fail(w, http.StatusNotFound, "the gateway knows nothing of this request")
		return
	}
	record := t.Requests[place]
	applied := m.Applied(record.RouteID, record.ServiceID, record.ConsumerID)
	if applied.Plugins == nil {
		applied.Plugins = []any{}
	}
	writeJSON(w, http.StatusOK, applied)
}

func (m *manager) importFile(w http.ResponseWriter, r *http.Request) {
	select {
	case m.imports <- struct{}{}:
		defer func() { <-m.imports }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusTooManyRequests, "other files are being imported")
		return
	}
	file, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFile))
	if err != nil {
		bodyFault(w, err)
		return
	}
	taken, err := m.Store.Import(file)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if taken.Traces == nil {
		taken.Traces = []string{}
	}
	writeJSON(w, http.StatusOK, Imported{
		Traces: taken.Traces, Spans: taken.Spans, Logs: taken.Logs, Rejected: taken.Rejected, Reason: taken.Reason,
	})
}
