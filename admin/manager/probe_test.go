package manager

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProbe(t *testing.T) {
	var last atomic.Pointer[http.Request]
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		switch r.URL.Path {
		case "/v1/traces":
		case "/accepted":
			w.WriteHeader(http.StatusAccepted)
		case "/moved":
			http.Redirect(w, r, "/v1/traces", http.StatusTemporaryRedirect)
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer receiver.Close()
	gone := httptest.NewServer(nil)
	gone.Close()

	ask := func(t *testing.T, body string) (int, Probed) {
		t.Helper()
		w := httptest.NewRecorder()
		(&manager{}).probe(w, httptest.NewRequest(http.MethodPost, "/api/probe", strings.NewReader(body)))
		var got Probed
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("answer %q: %v", w.Body, err)
		}
		if got.Duration < 0 || got.Duration > float64(time.Minute/time.Millisecond) {
			t.Errorf("duration %v", got.Duration)
		}
		got.Duration = 0
		return w.Code, got
	}

	tests := []struct {
		name, body string
		want       Probed
	}{
		{"taken", `{"endpoint": "` + receiver.URL + `/v1/traces", "headers": {"X-Token": "t"}}`, Probed{OK: true, Status: 200}},
		{"accepted", `{"endpoint": "` + receiver.URL + `/accepted"}`, Probed{OK: true, Status: 202}},
		{"wrong path", `{"endpoint": "` + receiver.URL + `/"}`, Probed{Status: 404, Message: "answers 404 Not Found"}},
		{"redirect", `{"endpoint": "` + receiver.URL + `/moved"}`, Probed{Status: 307, Message: "answers 307 Temporary Redirect"}},
		{"slow", `{"endpoint": "` + receiver.URL + `/slow", "timeout": 20}`, Probed{Message: "no answer within 20ms"}},
		{"no URL", `{"endpoint": "collector"}`, Probed{Message: "the endpoint is no http or https URL"}},
		{"other scheme", `{"endpoint": "file:///etc/passwd"}`, Probed{Message: "the endpoint is no http or https URL"}},
		{"wrong header", `{"endpoint": "` + receiver.URL + `", "headers": {"a b": "c"}}`, Probed{Message: `net/http: invalid header field name "a b"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last.Store(nil)
			code, got := ask(t, tt.body)
			seen := last.Load()
			if code != http.StatusOK {
				t.Errorf("status %d", code)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.name == "taken" && (seen == nil || seen.Header.Get("X-Token") != "t" || seen.Header.Get("Content-Type") != "application/x-protobuf") {
				t.Errorf("receiver saw %v", seen)
			}
		})
	}

	t.Run("nobody listens", func(t *testing.T) {
		_, got := ask(t, `{"endpoint": "http://user:secret@`+strings.TrimPrefix(gone.URL, "http://")+`/"}`)
		if got.OK || !strings.Contains(got.Message, "refused") || strings.Contains(got.Message, "secret") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("no JSON", func(t *testing.T) {
		if code, _ := ask(t, `endpoint`); code != http.StatusBadRequest {
			t.Errorf("status %d", code)
		}
	})
}
