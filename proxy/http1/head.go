package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
)

// parsePlainHead reads the head of an answer from the start of buf into res and
// returns its length, or 0 where it is not entirely there or has anything about it that
// is not usual: then net/http reads it, so that there is one reading of whatever is
// doubtful. Usual is HTTP/1.1, a status with a body, one Content-Length of digits,
// no Transfer-Encoding or Trailer, names of tokens, CRLF at each line's end.
//
// Names and values are parts of one string.
func parsePlainHead(buf []byte, res *http.Response) int {
	const version = "HTTP/1.1 "
	if len(buf) < len(version)+3 || string(buf[:len(version)]) != version {
		return 0
	}
	end := bytes.Index(buf, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	block := string(buf[:end+2])
	lines := bytes.Count(buf[:end+2], []byte("\n")) - 1
	if lines > 64 {
		return 0
	}

	i := len(version)
	status := 0
	for ; i < len(version)+3; i++ {
		if block[i] < '0' || block[i] > '9' {
			return 0
		}
		status = status*10 + int(block[i]-'0')
	}
	if status < 200 || status == 204 || status == 304 || block[i] != ' ' && block[i] != '\r' {
		return 0
	}
	eol := lineEnd(block, i)
	if eol < 0 {
		return 0
	}
	statusText := block[len(version):eol]
	i = eol + 2

	header := make(http.Header, lines)
	values := make([]string, lines)
	length := int64(-1)
	closing := false
	for i < len(block) {
		name, value, next := parseField(block, i)
		if next == 0 {
			return 0
		}
		i = next
		switch name {
		case "Content-Length":
			if length >= 0 {
				return 0
			}
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return 0
			}
			length = int64(n)
		case "Connection":
			if header[name] != nil {
				return 0
			}
			switch value {
			case "close":
				closing = true
				continue
			case "keep-alive":
			default:
				return 0
			}
		case "Transfer-Encoding", "Trailer", "Pragma":
			return 0
		}
		if list := header[name]; list != nil {
			header[name] = append(list, value)
			continue
		}
		values[0] = value
		header[name] = values[:1:1]
		values = values[1:]
	}
	if length < 0 || closing && header["Connection"] != nil {
		return 0
	}
	*res = http.Response{
		Status:        statusText,
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: length,
		Close:         closing,
	}
	return end + 4
}

// parseField reads the line at i and returns where the next one begins, or 0 where the
// line is not plain.
func parseField(block string, i int) (name, value string, next int) {
	start, upper, canonical := i, true, true
	for ; i < len(block) && block[i] != ':'; i++ {
		c := block[i]
		kind := octets[c]
		if kind&isToken == 0 {
			return "", "", 0
		}
		if upper && kind&isLower != 0 || !upper && kind&isUpper != 0 {
			canonical = false
		}
		upper = c == '-'
	}
	if i == start || i == len(block) {
		return "", "", 0
	}
	name = block[start:i]
	if !canonical {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	i++
	for block[i] == ' ' || block[i] == '\t' {
		i++
	}
	eol := lineEnd(block, i)
	if eol < 0 {
		return "", "", 0
	}
	last := eol
	for last > i && (block[last-1] == ' ' || block[last-1] == '\t') {
		last--
	}
	return name, block[i:last], eol + 2
}

// lineEnd finds the CRLF that ends the text at i, or -1 where other control
// characters come before. block ends with CRLF.
func lineEnd(block string, i int) int {
	for ; ; i++ {
		if octets[block[i]]&isText != 0 {
			continue
		}
		if block[i] == '\r' && block[i+1] == '\n' {
			return i
		}
		return -1
	}
}

// What an octet may be part of.
const (
	isToken = 1 << iota // a header's name
	isText              // a header's value
	isLower
	isUpper
)

var octets = func() (t [256]uint8) {
	for c := range t {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= isText
		}
		switch {
		case 'a' <= c && c <= 'z':
			t[c] |= isToken | isLower
		case 'A' <= c && c <= 'Z':
			t[c] |= isToken | isUpper
		case '0' <= c && c <= '9', c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0:
			t[c] |= isToken
		}
	}
	return t
}()
