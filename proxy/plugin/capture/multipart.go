package capture

import (
	"bytes"
	"fmt"
	"mime"
	"net/textproto"
)

// maxParts bounds the parts of a multipart body that are looked into.
const maxParts = 1000

// multipart masks a multipart body, part by part: those whose field's name means a secret, files, and the rest by its
// own type. What stands outside of parts is left out, what is malformed is masked.
func (m *masking) multipart(out, in []byte, contentType string) []byte {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" || m.depth >= maxNested {
		return m.hide(out, "malformed")
	}
	delimiter := []byte("--" + params["boundary"])
	start := bytes.Index(in, delimiter)
	if start < 0 {
		return m.hide(out, "malformed")
	}
	in = in[start:]
	for range maxParts {
		in = in[len(delimiter):]
		if bytes.HasPrefix(in, []byte("--")) {
			return append(append(out, delimiter...), "--\r\n"...)
		}
		out = append(append(out, delimiter...), "\r\n"...)
		in = bytes.TrimPrefix(bytes.TrimPrefix(in, []byte("\r")), []byte("\n"))
		part, whole := in, false
		if end := bytes.Index(in, append([]byte("\n"), delimiter...)); end >= 0 {
			part, in, whole = bytes.TrimSuffix(in[:end], []byte("\r")), in[end+1:], true
		}
		inner := *m
		inner.depth++
		inner.cut = m.cut && !whole
		if out = append(inner.bodyPart(out, part), "\r\n"...); !whole {
			return out
		}
	}
	return m.hide(out, "parts")
}

// bodyPart masks one part.
func (m *masking) bodyPart(out, in []byte) []byte {
	head, body, found := bytes.Cut(in, []byte("\r\n\r\n"))
	if !found {
		head, body, found = bytes.Cut(in, []byte("\n\n"))
	}
	if !found {
		return m.hide(out, "malformed")
	}
	header := map[string]string{}
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		key := textproto.CanonicalMIMEHeaderKey(string(name))
		header[key] = string(bytes.TrimSpace(value))
		out = append(append(out, name...), ": "...)
		out = m.partHeader(out, key, header[key])
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	_, params, err := mime.ParseMediaType(header["Content-Disposition"])
	name, isFile := params["name"], params["filename"] != ""
	contentType := header["Content-Type"]
	encoding := header["Content-Transfer-Encoding"]
	switch {
	case err != nil || encoding != "" && encoding != "7bit" && encoding != "8bit" && encoding != "binary":
		return m.hide(out, "malformed")
	case secret(m.names, name):
		return m.hide(out, name)
	case isFile || !isText(body, true):
		return fmt.Appendf(out, "[file %s, %d bytes]", mediaType(contentType), len(body))
	default:
		return m.text(out, body, contentType)
	}
}
