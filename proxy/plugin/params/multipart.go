package params

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
)

// form is a multipart form in memory.
type form struct {
	boundary string
	parts    []part
}

type part struct {
	name   string
	header textproto.MIMEHeader
	body   []byte
}

func parseMultipart(contentType string, body []byte) (*form, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("parse Content-Type: %w", err)
	}
	f := &form{boundary: params["boundary"]}
	if err := multipart.NewWriter(io.Discard).SetBoundary(f.boundary); err != nil {
		return nil, fmt.Errorf("parse multipart form: %w", err)
	}
	if len(body) == 0 {
		return f, nil
	}
	reader := multipart.NewReader(bytes.NewReader(body), f.boundary)
	for {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parse multipart form: %w", err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, fmt.Errorf("parse multipart form: %w", err)
		}
		f.parts = append(f.parts, part{p.FormName(), p.Header, content})
	}
}

func (f *form) indexOf(name string) int {
	return slices.IndexFunc(f.parts, func(p part) bool { return p.name == name })
}

// Lookup is for Set. Of several parts with the same name the last counts. Kong: lua-multipart get_all
func (f *form) Lookup(name string) (value string, kind Kind) {
	for _, p := range f.parts {
		if p.name == name {
			value, kind = string(p.body), Text
		}
	}
	return value, kind
}

// Has is for Set.
func (f *form) Has(name string) bool { return f.indexOf(name) >= 0 }

// Delete is for Set.
func (f *form) Delete(name string) bool {
	before := len(f.parts)
	f.parts = slices.DeleteFunc(f.parts, func(p part) bool { return p.name == name })
	return len(f.parts) < before
}

// Rename is for Set. A file keeps its name and its type.
func (f *form) Rename(old, name string) bool {
	if old == name || !f.Has(old) {
		return false
	}
	f.Delete(name)
	for i := range f.parts {
		p := &f.parts[i]
		if p.name != old {
			continue
		}
		_, params, err := mime.ParseMediaType(p.header.Get("Content-Disposition"))
		file, isFile := params["filename"]
		if err != nil {
			isFile = false
		}
		p.name = name
		p.header.Set("Content-Disposition", disposition(name, file, isFile))
	}
	return true
}

// Set is for Set.
func (f *form) Set(name, value string) {
	at := f.indexOf(name)
	if at < 0 {
		f.Append(name, value)
		return
	}
	f.parts[at] = field(name, value)
	rest := slices.DeleteFunc(f.parts[at+1:], func(p part) bool { return p.name == name })
	f.parts = f.parts[:at+1+len(rest)]
}

// Append is for Set.
func (f *form) Append(name, value string) { f.parts = append(f.parts, field(name, value)) }

func field(name, value string) part {
	return part{name, textproto.MIMEHeader{"Content-Disposition": {disposition(name, "", false)}}, []byte(value)}
}

// inQuotes are the bytes that must not stand in a quoted name as they are. HTML: multipart/form-data encoding algorithm
var inQuotes = strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22")

func disposition(name, file string, isFile bool) string {
	text := `form-data; name="` + inQuotes.Replace(name) + `"`
	if isFile {
		text += `; filename="` + inQuotes.Replace(file) + `"`
	}
	return text
}

// Encode is for Set.
func (f *form) Encode() ([]byte, error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	err := w.SetBoundary(f.boundary)
	for _, p := range f.parts {
		to, partErr := w.CreatePart(p.header)
		if partErr == nil {
			_, partErr = to.Write(p.body)
		}
		err = errors.Join(err, partErr)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("write multipart form: %w", err)
	}
	return out.Bytes(), nil
}
