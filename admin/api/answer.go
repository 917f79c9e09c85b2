package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"

	"sidekong/configs/entity"
)

// answer is a status with a body: nil for none, a page for HTML, ready bytes, or what encoding/json makes of it.
type answer struct {
	status int
	header http.Header
	body   any
}

// page is HTML, which Kong answers where nginx speaks.
type page string

// document is ready JSON.
type document []byte

func ok(body any) *answer { return &answer{status: http.StatusOK, body: body} }

func message(status int, text string) *answer {
	return &answer{status: status, body: entity.Object{"message": text}}
}

func (a *answer) write(w http.ResponseWriter, r *http.Request) {
	var text []byte
	contentType := "application/json; charset=utf-8"
	switch body := a.body.(type) {
	case nil:
		contentType = ""
	case page:
		text, contentType = []byte(body), "text/html; charset=utf-8"
	case document:
		text = body
	default:
		var buffer bytes.Buffer
		encoder := json.NewEncoder(&buffer)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(body); err != nil {
			a.status = http.StatusInternalServerError
			buffer.Reset()
			buffer.WriteString(`{"message":"An unexpected error occurred"}` + "\n")
		}
		text = buffer.Bytes()
	}
	header := w.Header()
	maps.Copy(header, a.header)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if contentType != "" {
		header.Set("Content-Type", contentType)
		header.Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		// The client may have gone; there is nobody left to tell.
		_, _ = w.Write(text)
	}
}
