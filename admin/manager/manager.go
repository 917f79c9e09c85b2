package manager

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"sidekong/admin"
	"sidekong/admin/inventory"
	"sidekong/admin/traces"
)

// Options are what the page shows and does. What it shows of the program comes in as functions, which may be called
// by several goroutines at once.
type Options struct {
	Files  fs.FS         // the page; nil: Static()
	Store  *traces.Store // never nil
	Logger *slog.Logger  // never nil

	Node      func() Node             // what is known without the store; Store and Login are filled in. Never nil
	Exporters func() []admin.Exporter // nil: there are none
	// Applied is the configuration of these ids as it is now; nil: it cannot be told.
	Applied   func(route, service, consumer string) Applied
	Inventory *inventory.Inventory // nil: nothing is learned
	Admin     http.Handler         // the Admin API, which sees paths without /admin; nil: there is none

	// Login makes everything but the page's files want the session cookie or the token. It is for listeners elsewhere
	// than on loopback. With an empty Token nobody gets in.
	Login bool
	Token string   // secret
	Hosts []string // names besides localhost by which the listener may be asked for
}

// Handler serves the page, its API, the OTLP receiver and the Admin API.
func Handler(o Options) http.Handler {
	if o.Files == nil {
		o.Files = Static()
	}
	m := &manager{Options: o, guard: newGuard(o), streams: make(chan struct{}, maxStreams), imports: make(chan struct{}, maxImports)}
	receiver := traces.NewReceiver(o.Store)

	inside := http.NewServeMux()
	inside.HandleFunc("GET /api/node", m.node)
	inside.HandleFunc("POST /api/logout", m.guard.logout)
	inside.HandleFunc("GET /api/traces", m.list)
	inside.HandleFunc("DELETE /api/traces", m.clear)
	inside.HandleFunc("GET /api/traces/stream", m.stream)
	inside.HandleFunc("GET /api/traces/attributes", m.complete)
	inside.HandleFunc("GET /api/traces/{id}", m.trace)
	inside.HandleFunc("GET /api/traces/{id}/otlp", m.otlp)
	inside.HandleFunc("GET /api/traces/{id}/applied", m.applied)
	inside.HandleFunc("POST /api/import", m.importFile)
	inside.HandleFunc("GET /api/overview", m.overview)
	inside.HandleFunc("GET /api/services", m.services)
	inside.HandleFunc("GET /api/exporters", m.exporters)
	inside.HandleFunc("POST /api/probe", m.probe)
	inside.HandleFunc("GET /api/inventory", m.inventory)
	inside.HandleFunc("DELETE /api/inventory", m.clearInventory)
	inside.HandleFunc("GET /api/inventory/openapi", m.openAPI)
	inside.HandleFunc("POST /api/inventory/compare", m.compare)
	inside.HandleFunc("POST /v1/traces", receiver.ServeTraces)
	inside.HandleFunc("POST /v1/logs", receiver.ServeLogs)
	if o.Admin != nil {
		inside.Handle("/admin/", http.StripPrefix("/admin", o.Admin))
	} else {
		inside.HandleFunc("/admin/", notFound)
	}
	inside.HandleFunc("/api/", notFound)
	inside.HandleFunc("/v1/", notFound)

	outside := http.NewServeMux()
	outside.Handle("/", newFiles(o.Files))
	outside.HandleFunc("POST /api/login", m.guard.login)
	for _, prefix := range []string{"/api/", "/v1/", "/admin/"} {
		outside.Handle(prefix, m.guard.session(inside))
	}
	return m.guard.protect(outside)
}

// manager answers the API.
type manager struct {
	Options
	guard   *guard
	streams chan struct{} // one taken for each that is open
	imports chan struct{} // and for each that is under way
}

// writeJSON answers. Answers are kept out of caches: they hold what others must not see.
func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // what we answer can be written
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}

func fail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, Message{Message: message})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "there is nothing of that name")
}

func (m *manager) node(w http.ResponseWriter, _ *http.Request) {
	node := m.Node()
	node.Store, node.Login, node.Receiver = m.Store.State(), m.Login, true
	if node.Proxy == nil {
		node.Proxy = []string{}
	}
	if m.Admin == nil {
		node.Admin = ""
	}
	writeJSON(w, http.StatusOK, node)
}

// bodyFault tells a body that is too large from one that cannot be read.
func bodyFault(w http.ResponseWriter, err error) {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		fail(w, http.StatusRequestEntityTooLarge, "the file is too large")
		return
	}
	fail(w, http.StatusBadRequest, "the file cannot be read")
}

func (m *manager) overview(w http.ResponseWriter, r *http.Request) {
	window, ok := map[string]time.Duration{
		"": 5 * time.Minute, "300": 5 * time.Minute, "900": 15 * time.Minute, "3600": time.Hour, "21600": 6 * time.Hour,
	}[r.URL.Query().Get("window")]
	if !ok {
		fail(w, http.StatusBadRequest, "window is 300, 900, 3600 or 21600 seconds")
		return
	}
	writeJSON(w, http.StatusOK, m.Store.Overview(time.Now(), window))
}

func (m *manager) services(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, m.Store.Map())
}
