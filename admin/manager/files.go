package manager

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// files serves the page. What is asked for without being a file, and does not look like one, is the page itself: its
// addresses say what it shows.
type files map[string]file

type file struct {
	body []byte
	tag  string
	kind string
}

// kinds are the content types of the page's files, whatever the system's table says.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".json": "application/json", ".png": "image/png", ".ico": "image/x-icon",
}

func newFiles(from fs.FS) files {
	all := files{}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		if path.Ext(name) == ".js" {
			body = withoutComments(body)
		}
		sum := sha256.Sum256(body)
		kind := kinds[path.Ext(name)]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		all["/"+name] = file{body: body, tag: `"` + hex.EncodeToString(sum[:12]) + `"`, kind: kind}
		return nil
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return all
}

func (all files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "the page can only be read")
		return
	}
	f, ok := all[path.Clean(r.URL.Path)]
	if !ok && !strings.Contains(path.Base(r.URL.Path), ".") {
		f, ok = all["/index.html"]
	}
	if !ok {
		notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Etag", f.tag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
