package plugin

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// pages are the forms of an error page, the one for everything else first. Each template is for a message and a
// request id. Kong: kong/tools/http.lua get_error_template
var pages = []struct{ mime, kind, contentType, template string }{
	{"application/json", "application", JSONType, "{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}"},
	{"text/html", "", "text/html; charset=utf-8", `<!doctype html>
<html>
  <head>
    <meta charset="utf-8">
    <title>Error</title>
  </head>
  <body>
    <h1>Error</h1>
    <p>%s.</p>
    <p>request_id: %s</p>
  </body>
</html>
`},
	{"text/plain", "text", "text/plain; charset=utf-8", "%s\nrequest_id: %s\n"},
	{"application/xml", "", "application/xml; charset=utf-8", `<?xml version="1.0" encoding="UTF-8"?>
<error>
  <message>%s</message>
  <requestid>%s</requestid>
</error>
`},
}

// Page renders Kong's error page in the form that an Accept header prefers: JSON, HTML, XML or plain text; JSON where
// nothing fits. Kong: kong/tools/http.lua get_error_template
func Page(accept, message, requestID string) (contentType string, body []byte) {
	contentType, template := pageFor(accept)
	return contentType, fmt.Appendf(nil, template, message, requestID)
}

// pageFor chooses a page by quality values. Kong: kong/tools/http.lua get_response_type
func pageFor(accept string) (contentType, template string) {
	contentType, template = pages[0].contentType, pages[0].template
	best := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(strings.ToLower(part), ";")
		kind, sub, ok := strings.Cut(strings.TrimSpace(media), "/")
		if !ok {
			continue
		}
		quality := 1.0
		for param := range strings.SplitSeq(params, ";") {
			if q, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
				quality, _ = strconv.ParseFloat(strings.TrimSpace(q), 64)
			}
		}
		if quality <= best {
			continue
		}
		best = quality
		for _, page := range pages {
			if page.mime == kind+"/"+sub || sub == "*" && (page.kind == kind || kind == "*" && page.kind == "application") {
				contentType, template = page.contentType, page.template
				break
			}
		}
	}
	return contentType, template
}

// BareAnswer is the answer of a status that nobody gave a body to: Kong's error page for the statuses that Kong has one
// for, in the form that prefer asks for (an Accept header, else a Content-Type; "": plain text), else nginx's page, else
// nothing. nginx: error_page; Kong: kong/error_handlers.lua
func BareAnswer(status int, prefer, requestID string) Answer {
	if message, ok := pageMessages[status]; ok {
		contentType, page := Page(cmp.Or(prefer, "text/plain"), message, requestID)
		return Answer{Status: status, Source: FromError, Header: http.Header{"Content-Type": {contentType}}, Body: page}
	}
	if title, ok := builtinTitles[status]; ok {
		return Answer{Status: status, Source: FromExit, Header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, Body: builtinPage(title)}
	}
	return Answer{Status: status, Source: FromExit, Header: http.Header{}, Body: []byte{}}
}

// pageMessages are the statuses for which Kong has its own error page. Kong: kong/error_handlers.lua
var pageMessages = map[int]string{
	400: "Bad request",
	404: "Not found",
	405: "Method not allowed",
	408: "Request timeout",
	411: "Length required",
	412: "Precondition failed",
	413: "Payload too large",
	414: "URI too long",
	417: "Expectation failed",
	494: "Request header or cookie too large",
	500: "An unexpected error occurred",
	502: "An invalid response was received from the upstream server",
	503: "The upstream server is currently unavailable",
	504: "The upstream server is timing out",
}

// builtinTitles are the statuses for which nginx has a page of its own. nginx: ngx_http_special_response.c
var builtinTitles = map[int]string{
	301: "301 Moved Permanently",
	302: "302 Found",
	303: "303 See Other",
	307: "307 Temporary Redirect",
	308: "308 Permanent Redirect",
	401: "401 Authorization Required",
	402: "402 Payment Required",
	403: "403 Forbidden",
	406: "406 Not Acceptable",
	409: "409 Conflict",
	410: "410 Gone",
	415: "415 Unsupported Media Type",
	416: "416 Requested Range Not Satisfiable",
	421: "421 Misdirected Request",
	429: "429 Too Many Requests",
	501: "501 Not Implemented",
	505: "505 HTTP Version Not Supported",
	507: "507 Insufficient Storage",
}

func builtinPage(title string) []byte {
	return []byte("<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}
