package function

import (
	"strconv"
	"strings"
)

// pageMessages are the statuses for which Kong has its own error page. Kong: kong/error_handlers.lua, nginx_kong.lua
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

// errorMessages are the messages of kong.response.error. Kong: kong/pdk/response.lua HTTP_MESSAGES
var errorMessages = map[int]string{
	400: "Bad request",
	401: "Unauthorized",
	402: "Payment required",
	403: "Forbidden",
	404: "Not found",
	405: "Method not allowed",
	406: "Not acceptable",
	407: "Proxy authentication required",
	408: "Request timeout",
	409: "Conflict",
	410: "Gone",
	411: "Length required",
	412: "Precondition failed",
	413: "Payload too large",
	414: "URI too long",
	415: "Unsupported media type",
	416: "Range not satisfiable",
	417: "Expectation failed",
	418: "I'm a teapot",
	421: "Misdirected request",
	422: "Unprocessable entity",
	423: "Locked",
	424: "Failed dependency",
	425: "Too early",
	426: "Upgrade required",
	428: "Precondition required",
	429: "Too many requests",
	431: "Request header fields too large",
	451: "Unavailable for legal reasons",
	494: "Request header or cookie too large",
	500: "An unexpected error occurred",
	501: "Not implemented",
	502: "An invalid response was received from the upstream server",
	503: "The upstream server is currently unavailable",
	504: "The upstream server is timing out",
	505: "HTTP version not supported",
	506: "Variant also negotiates",
	507: "Insufficient storage",
	508: "Loop detected",
	510: "Not extended",
	511: "Network authentication required",
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

// Kong's error templates, for a message and a request id. Kong: kong/tools/http.lua get_error_template
const (
	pageJSON  = "{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}"
	pagePlain = "%s\nrequest_id: %s\n"
	pageXML   = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n  <requestid>%s</requestid>\n</error>\n"
	pageHTML  = "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n" +
		"    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  </body>\n</html>\n"
)

// pages are the forms of an error page, the one for everything else first.
var pages = []struct{ mime, any, kind, template string }{
	{"application/json", "application", jsonType, pageJSON},
	{"text/html", "", "text/html; charset=utf-8", pageHTML},
	{"text/plain", "text", "text/plain; charset=utf-8", pagePlain},
	{"application/xml", "", "application/xml; charset=utf-8", pageXML},
}

// pageFor picks the form that an Accept header prefers. Kong: kong/tools/http.lua get_response_type
func pageFor(accept string) (kind, template string) {
	kind, template = pages[0].kind, pages[0].template
	best := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(strings.ToLower(part), ";")
		major, minor, ok := strings.Cut(strings.TrimSpace(media), "/")
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
			if page.mime == major+"/"+minor || minor == "*" && (page.any == major || major == "*" && page.any == "application") {
				kind, template = page.kind, page.template
				break
			}
		}
	}
	return kind, template
}
