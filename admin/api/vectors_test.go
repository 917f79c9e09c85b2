package api_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sidekong/admin/api"
	"sidekong/configs/database"
	"sidekong/configs/entity"
	"sidekong/proxy/plugin/basicauth"
	"sidekong/proxy/plugin/correlationid"
	"sidekong/proxy/plugin/filelog"
	"sidekong/proxy/plugin/function"
	"sidekong/proxy/plugin/httplog"
	"sidekong/proxy/plugin/keyauth"
	"sidekong/proxy/plugin/opentelemetry"
	"sidekong/proxy/plugin/requesttermination"
)

var pluginConfigs = map[string]*entity.Record{
	"opentelemetry":       opentelemetry.Config(),
	"key-auth":            keyauth.Config(),
	"basic-auth":          basicauth.Config(),
	"correlation-id":      correlationid.Config(),
	"file-log":            filelog.Config(),
	"http-log":            httplog.Config(),
	"request-termination": requesttermination.Config(),
	"pre-function":        function.Config(),
	"post-function":       function.Config(),
}

func plugins() []api.Plugin {
	var list []api.Plugin
	for _, name := range slices.Sorted(maps.Keys(pluginConfigs)) {
		list = append(list, api.Plugin{Name: name, Version: "3.9.3", Priority: 1, Runs: true})
	}
	return list
}

// token goes with the tests' requests, since Kong's answers have no masks.
const token = "tests only"

// A vector is one request to Kong's Admin API and what it answered.
type vector struct {
	ID      string
	Entity  string
	Plugin  string
	Op      string
	Request struct{ Method, Path string }
	Given   []struct {
		Path string
		Body json.RawMessage
	}
	Input json.RawMessage
	Form  *string
	Raw   *struct {
		ContentType *string `json:"content_type"`
		Body        string
	}
	Flags  []string
	DBless bool

	Status  int
	OK      bool
	Output  entity.Object
	Body    entity.Object
	Allow   string
	Errors  any
	Message string
	Code    int
	Name    string
	Other   entity.Object
}

func (v *vector) has(flag string) bool { return slices.Contains(v.Flags, flag) }

// recorded are the vectors beside this test; the environment may name others.
const recorded = "testdata/admin.jsonl"

// readVectors reads them strictly: what this test does not know, it must not pass over.
func readVectors(t *testing.T, path string) []vector {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var vectors []vector
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		var v vector
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%s:%d: %v", path, len(vectors)+1, err)
		}
		vectors = append(vectors, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatalf("%s: no vectors", path)
	}
	return vectors
}

// openers open an empty database of each kind that the tests run on; PostgreSQL comes with the build tag postgres.
var openers = map[string]func(t *testing.T, schemas *entity.Schemas) database.DB{"sqlite": openSQLite}

// preferred is the one for the tests that need one alone.
var preferred = openSQLite

// runTests is replaced where the tests need a server beside them.
var runTests = (*testing.M).Run

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func openSQLite(t *testing.T, schemas *entity.Schemas) database.DB {
	t.Helper()
	db, err := database.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "sidekong.db"), schemas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newHandler(t *testing.T, options api.Options) http.Handler {
	t.Helper()
	options.Plugins = plugins()
	handler, err := api.Handler(options)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// empty removes everything, references before what they lead to.
func empty(t *testing.T, db database.DB) {
	t.Helper()
	document, _, err := db.Document(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{
		"plugins", "routes", "services", "targets", "upstreams", "keyauth_credentials", "basicauth_credentials", "consumers", "snis",
		"certificates", "ca_certificates",
	} {
		for _, object := range document.Objects(kind) {
			if _, err := db.Delete(t.Context(), kind, object["id"].(string)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// later are the vectors whose input Kong 3.9 refuses and a later Kong takes. So do we: instana came with 3.10.
var later = []string{"opentelemetry.insert.prop-extract.11", "opentelemetry.insert.prop-default.11"}

// TestVectors sends what Kong was sent and wants its answers, flags permitting: a crash must answer 400, of a library's
// text only the place counts, and lists in no order compare as sets.
func TestVectors(t *testing.T) {
	schemas := entity.NewSchemas(pluginConfigs)
	vectors := readVectors(t, cmp.Or(os.Getenv("SIDEKONG_ADMIN_VECTORS"), recorded))
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			db := open(t, schemas)
			handler := newHandler(t, api.Options{DB: db, Schemas: schemas, Token: token})
			readOnly := newHandler(t, api.Options{DB: db, Schemas: schemas, Token: token, ReadOnly: true})
			used := false
			for _, v := range vectors {
				t.Run(v.ID, func(t *testing.T) {
					if used {
						empty(t, db)
						used = false
					}
					for _, given := range v.Given {
						used = true
						answer := send(t, handler, "POST", given.Path, "application/json", string(given.Body))
						if answer.Code != http.StatusCreated {
							t.Fatalf("given %s: got %d %s, want 201", given.Path, answer.Code, answer.Body)
						}
					}
					to := handler
					if v.DBless {
						to = readOnly
					}
					used = used || v.Request.Method != "GET"
					v.run(t, to)
				})
			}
		})
	}
}

func send(t *testing.T, handler http.Handler, method, target, contentType, body string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request := httptest.NewRequestWithContext(t.Context(), method, target, reader)
	request.Host = "localhost:8001"
	request.Header.Set("Kong-Admin-Token", token)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func (v *vector) run(t *testing.T, handler http.Handler) {
	t.Helper()
	contentType, body := "", ""
	switch {
	case v.Input != nil:
		contentType, body = "application/json", string(v.Input)
	case v.Form != nil:
		contentType, body = "application/x-www-form-urlencoded", *v.Form
	case v.Raw != nil:
		body = v.Raw.Body
		if v.Raw.ContentType != nil {
			contentType = *v.Raw.ContentType
		}
	}
	got := send(t, handler, v.Request.Method, v.Request.Path, contentType, body)
	if v.has("crash") {
		if got.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", body, got.Code, got.Body)
		}
		return
	}
	if slices.Contains(later, v.ID) {
		if got.Code != http.StatusCreated {
			t.Errorf("%s: got %d %s, want 201", body, got.Code, got.Body)
		}
		return
	}
	if got.Code != v.Status {
		t.Fatalf("%s: got %d %s, want %d %s", body, got.Code, got.Body, v.Status, v.Message)
	}
	if v.Allow != "" && got.Header().Get("Allow") != v.Allow {
		t.Errorf("got Allow %q, want %q", got.Header().Get("Allow"), v.Allow)
	}
	want := v.answer()
	if page, isPage := want["<not json>"].(string); isPage {
		if contentType := got.Header().Get("Content-Type"); !strings.HasPrefix(contentType, page) {
			t.Errorf("got content type %s, want %s", contentType, page)
		}
		return
	}
	if want == nil {
		if got.Body.Len() > 0 {
			t.Errorf("got body %s, want none", got.Body)
		}
		return
	}
	var have entity.Object
	if err := json.Unmarshal(got.Body.Bytes(), &have); err != nil {
		t.Fatalf("%s: %v", got.Body, err)
	}
	switch {
	case v.has("library-text"):
		want["fields"], have["fields"] = keys(want["fields"]), keys(have["fields"])
		delete(want, "message")
		delete(have, "message")
	case v.has("one-of-order-varies"):
		want, have = sortedWords(want).(entity.Object), sortedWords(have).(entity.Object)
	}
	have, _ = placeholders(want, have).(entity.Object)
	if diff := gocmp.Diff(want, have, asPrinted); diff != "" {
		t.Errorf("%s: answer differs (-want +got):\n%s", body, diff)
	}
}

// answer is the body that Kong sent, nil for none.
func (v *vector) answer() entity.Object {
	switch {
	case v.Output != nil:
		return v.Output
	case v.Body != nil:
		return v.Body
	case v.Message == "":
		return nil
	}
	want := entity.Object{"code": float64(v.Code), "name": v.Name, "message": v.Message}
	if v.Errors != nil {
		want["fields"] = v.Errors
	}
	maps.Copy(want, v.Other)
	return want
}

// asPrinted compares numbers by the 14 digits that Kong prints of them.
var asPrinted = gocmp.Comparer(func(a, b float64) bool { return fmt.Sprintf("%.14g", a) == fmt.Sprintf("%.14g", b) })

var (
	uuidText  = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	randomKey = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
)

// placeholders puts <UUID>, <TS> and the like where got has what they stand for.
func placeholders(want, got any) any {
	switch want := want.(type) {
	case entity.Object:
		object, isObject := got.(entity.Object)
		if !isObject {
			return got
		}
		for name := range object {
			object[name] = placeholders(want[name], object[name])
		}
	case []any:
		list, isList := got.([]any)
		if !isList || len(list) != len(want) {
			return got
		}
		for i := range list {
			list[i] = placeholders(want[i], list[i])
		}
	case string:
		text, _ := got.(string)
		number, isNumber := got.(float64)
		switch {
		case want == "<UUID>" && uuidText.MatchString(text), want == "<RANDOM32>" && randomKey.MatchString(text),
			want == "<TS>" && isNumber && number > 1e9, want == "<TTL>" && isNumber && number > 0:
			return want
		}
	}
	return got
}

// keys replaces the texts in a tree of errors.
func keys(value any) any {
	switch value := value.(type) {
	case entity.Object:
		blank := entity.Object{}
		for name, item := range value {
			blank[name] = keys(item)
		}
		return blank
	case []any:
		blank := make([]any, len(value))
		for i, item := range value {
			blank[i] = keys(item)
		}
		return blank
	case string:
		return "…"
	}
	return value
}

// sortedWords sorts the words of each text.
func sortedWords(value any) any {
	switch value := value.(type) {
	case entity.Object:
		for name, item := range value {
			value[name] = sortedWords(item)
		}
	case []any:
		for i, item := range value {
			value[i] = sortedWords(item)
		}
	case string:
		words := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,:;(){}\"\n", r) })
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	return value
}
