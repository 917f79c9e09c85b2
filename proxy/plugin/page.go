package plugin

import (
	"fmt"
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
