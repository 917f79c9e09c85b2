package manager

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutComments(t *testing.T) {
	tests := []struct{ name, module, want string }{
		{"documentation", "/**\n * What it is.\n */\nexport const a = 1;\n", "\n\n\nexport const a = 1;\n"},
		{"a type within a line", "const a = /** @type {B} */ (c);\n", "const a =  (c);\n"},
		{"a line", "a();\n  // Why.\nb();\n", "a();\n\nb();\n"},
		{"the last line", "a();\n// Why.", "a();\n"},
		{"an address", "const a = \"http://b/\"; // Kept: not a whole line.\n", "const a = \"http://b/\"; // Kept: not a whole line.\n"},
		{"a division", "a = b / c * d;\n", "a = b / c * d;\n"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(withoutComments([]byte(tt.module)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What one file names, another one is: a missing file would only show in a browser.
func TestStaticIsWhole(t *testing.T) {
	served := newFiles(Static())
	names := regexp.MustCompile(`(?:href|src)="([^"#]+)"`)
	imports := regexp.MustCompile(`(?:from |import\()"([^"]+)"`)
	total := 0
	err := fs.WalkDir(Static(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body := string(served["/"+name].body)
		total += len(body)
		pattern, folder := names, ""
		if strings.HasSuffix(name, ".js") {
			pattern, folder = imports, name[:strings.LastIndex(name, "/")]
		}
		for _, found := range pattern.FindAllStringSubmatch(body, -1) {
			if target := "/" + joined(folder, found[1]); served[target].body == nil {
				t.Errorf("%s names %s, which is not there", name, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > 200<<10 {
		t.Errorf("the page weighs %d bytes", total)
	}
	if strings.Contains(string(served["/index.html"].body), "style=") || strings.Contains(string(served["/index.html"].body), "http://") {
		t.Error("the page has what its Content-Security-Policy refuses")
	}

	// No folder of the page may hide behind an address of the API.
	w := httptest.NewRecorder()
	served.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/shell/main.js", nil))
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != "text/javascript; charset=utf-8" {
		t.Errorf("status %d, type %q", w.Code, got)
	}
	for name := range served {
		for _, prefix := range []string{"/api/", "/v1/", "/admin/"} {
			if strings.HasPrefix(name, prefix) {
				t.Errorf("%s cannot be reached", name)
			}
		}
	}
}

// joined is a relative address in a folder.
func joined(folder, address string) string {
	address = strings.TrimPrefix(address, "./")
	for strings.HasPrefix(address, "../") {
		address = address[len("../"):]
		folder = folder[:max(strings.LastIndex(folder, "/"), 0)]
	}
	return strings.TrimPrefix(folder+"/"+address, "/")
}
