package function

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"sidekong/proxy/plugin"
)

// kong.response. Kong: kong/pdk/response.lua
var responseFunctions = map[string]lua.LGFunction{
	"get_status":   in(answered, responseStatus),
	"get_header":   in(answered, responseHeader),
	"get_headers":  in(answered, responseHeaders),
	"get_source":   always(responseSource),
	"set_status":   in(beforeAnswer, responseSetStatus),
	"set_header":   in(beforeAnswer, responseSetHeader),
	"add_header":   in(beforeAnswer, responseAddHeader),
	"clear_header": in(beforeAnswer, responseClearHeader),
	"set_headers":  in(beforeAnswer, responseSetHeaders),
	"exit":         in(beforeAnswer, responseExit),
	"error":        in(beforeAnswer, responseError),
	"get_raw_body": in(bodyFilter, responseRawBody),
	"set_raw_body": in(bodyFilter, responseSetRawBody),
}

const (
	minStatus     = 100
	maxStatus     = 599
	jsonType      = "application/json; charset=utf-8"
	contentType   = "Content-Type"
	contentLength = "Content-Length"
)

// responseHeaders of the answer: those that exist, or those that are set ahead of it.
func (r *run) answerHeader() headers {
	if response := r.host.Response(); response != nil {
		return response.Header
	}
	return r.host.EarlyHeader()
}

func responseStatus(L *lua.LState, r *run) int {
	L.Push(lua.LNumber(r.host.Response().Status))
	return 1
}

func responseHeader(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "header name must be a string")
	}
	values := headerValues(r.answerHeader(), string(name), false)
	if values == nil || strings.ContainsAny(string(name), "_") && strings.ToLower(string(name)) != string(name) {
		values = headerValues(r.answerHeader(), strings.ReplaceAll(string(name), "_", "-"), false)
	}
	if len(values) == 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LString(values[0]))
	return 1
}

func responseHeaders(L *lua.LState, r *run) int {
	t, truncated := r.headerTable(L, r.answerHeader(), "", limitArg(L, 1, "max_headers"))
	L.Push(t)
	if truncated {
		L.Push(lua.LString("truncated"))
		return 2
	}
	return 1
}

func responseSource(L *lua.LState, r *run) int {
	if r.phase&answered == 0 && L.Get(1) == lua.LNil {
		raisef(L, 1, "function cannot be called in %s phase (only in: %s)", r.phase, answered)
	}
	source := "error"
	if response := r.host.Response(); response != nil {
		switch response.Source {
		case plugin.FromService:
			source = "service"
		case plugin.FromExit:
			source = "exit"
		}
	}
	L.Push(lua.LString(source))
	return 1
}

func statusArg(L *lua.LState, n, least, most int) int {
	code, ok := L.Get(n).(lua.LNumber)
	if !ok {
		raise(L, 1, "code must be a number")
	}
	if code < lua.LNumber(least) || code > lua.LNumber(most) {
		raisef(L, 1, "code must be a number between %d and %d", least, most)
	}
	return int(code)
}

func responseSetStatus(L *lua.LState, r *run) int {
	status := statusArg(L, 1, minStatus, maxStatus)
	if response := r.host.Response(); response != nil {
		setStatus(response, status)
	}
	return 0
}

// setStatus changes an answer's status; one without a body loses what describes it.
func setStatus(response *plugin.Response, status int) {
	response.Status = status
	if status == http.StatusNoContent {
		removeHeader(response.Header, contentLength, false)
		removeHeader(response.Header, contentType, false)
	}
}

// setAnswerHeader sets a header of the answer. Transfer-Encoding is the gateway's own.
func (r *run) setAnswerHeader(name string, values []string) {
	if !sameHeader(name, "Transfer-Encoding", false) {
		setHeader(r.answerHeader(), name, values)
	}
}

func responseSetHeader(L *lua.LState, r *run) int {
	name := headerName(L, L.Get(1))
	r.setAnswerHeader(name, headerValue(L, name, L.Get(2)))
	return 0
}

func responseAddHeader(L *lua.LState, r *run) int {
	name := headerName(L, L.Get(1))
	values := headerValue(L, name, L.Get(2))
	if !sameHeader(name, "Transfer-Encoding", false) && len(values) > 0 {
		addHeader(r.answerHeader(), name, values)
	}
	return 0
}

func responseClearHeader(L *lua.LState, r *run) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "header name must be a string")
	}
	removeHeader(r.answerHeader(), string(name), true)
	return 0
}

func responseSetHeaders(L *lua.LState, r *run) int {
	names, values := headerList(L, 1)
	for _, name := range names {
		r.setAnswerHeader(name, values[name])
	}
	return 0
}

// exitHeaders reads the optional headers of exit and error.
func exitHeaders(L *lua.LState, n int) (names []string, values map[string][]string) {
	switch L.Get(n).(type) {
	case *lua.LNilType:
		return nil, nil
	case *lua.LTable:
		return headerList(L, n)
	}
	raise(L, 1, "headers must be a nil or table")
	return nil, nil
}

func responseExit(L *lua.LState, r *run) int {
	status := statusArg(L, 1, minStatus, maxStatus)
	var body []byte
	whole := false
	a := plugin.Answer{Status: status, Header: headers{}, Source: plugin.FromExit}
	v := L.Get(2)
	switch v.(type) {
	case *lua.LNilType, lua.LString, *lua.LTable:
	default:
		raise(L, 1, "body must be a nil, string or table")
	}
	names, values := exitHeaders(L, 3)
	switch v := v.(type) {
	case lua.LString:
		body, whole = []byte(v), true
	case *lua.LTable:
		encoded, err := r.encodeJSON(L, v, jsonPrecise)
		if err != nil {
			raise(L, 1, "body encoding failed while flushing response: "+err.Error())
		}
		body, whole = []byte(encoded), true
		a.Header[contentType] = []string{jsonType}
	}
	if whole && body == nil {
		body = []byte{}
	}
	for _, name := range names {
		if !sameHeader(name, "Transfer-Encoding", false) {
			setHeader(a.Header, name, values[name])
		}
	}
	if r.phase == headerFilter {
		r.exitLate(&a, body, whole)
		return 0
	}
	a.Body = body
	if !whole {
		r.bareAnswer(&a)
	}
	r.exit(L, &a)
	return 0
}

// exitLate is an exit in the header filter phase: it changes the head, and the body where there is a new one.
func (r *run) exitLate(a *plugin.Answer, body []byte, whole bool) {
	response := r.host.Response()
	response.Source = plugin.FromExit
	setStatus(response, a.Status)
	length := []string{strconv.Itoa(len(body))}
	if a.Header[contentLength] == nil {
		a.Header[contentLength] = length
	}
	for name, values := range a.Header {
		setHeader(response.Header, name, values)
	}
	if whole {
		r.request.replace, r.request.replaced = body, true
	}
}

// exit ends the script with an answer.
func (r *run) exit(L *lua.LState, a *plugin.Answer) {
	r.answer = a
	r.stop(L, errExit)
}

// bareAnswer fills in the body of an answer without one. Kong: kong/pdk/response.lua exit
func (r *run) bareAnswer(a *plugin.Answer) {
	prefer, ok := r.header("Accept")
	if !ok {
		prefer, _ = r.header("Content-Type")
	}
	bare := plugin.BareAnswer(a.Status, prefer, r.host.Facts().RequestID)
	a.Source, a.Body = bare.Source, bare.Body
	if len(bare.Body) > 0 {
		delete(a.Header, contentLength)
	} else if a.Header[contentLength] == nil {
		a.Header[contentLength] = []string{"0"}
	}
	maps.Copy(a.Header, bare.Header)
}

func responseError(L *lua.LState, r *run) int {
	status := statusArg(L, 1, 400, maxStatus)
	message := ""
	switch v := L.Get(2).(type) {
	case *lua.LNilType:
		message = errorMessages[status]
		if message == "" {
			message = fmt.Sprintf("The upstream server responded with %d", status)
		}
	case lua.LString:
		message = string(v)
	case *lua.LTable:
		encoded, err := r.encodeJSON(L, v, jsonPrecise)
		if err != nil {
			raise(L, 1, "could not JSON encode the error message: "+err.Error())
		}
		message = encoded
	default:
		raise(L, 1, "message must be a nil, a string or a table")
	}
	names, values := exitHeaders(L, 3)
	prefer, _ := r.header("Accept")
	a := plugin.Answer{Status: status, Header: headers{}, Source: plugin.FromExit}
	for _, name := range names {
		setHeader(a.Header, name, values[name])
	}
	if status == 499 {
		a.Abort = true
	}
	kind, page := plugin.Page(prefer, message, r.host.Facts().RequestID)
	a.Header[contentType], a.Body = []string{kind}, page
	if r.phase == headerFilter {
		r.exitLate(&a, a.Body, true)
		return 0
	}
	r.exit(L, &a)
	return 0
}

// collected is the answer's body as far as it has come.
type collected struct {
	pieces []byte
	whole  lua.LValue
}

func responseRawBody(L *lua.LState, r *run) int {
	c := r.request.collected
	if c == nil {
		c = &collected{}
		r.request.collected = c
	}
	if c.whole == nil {
		piece := joinOutput(L, r.arg[0])
		r.chargeString(L, len(piece))
		if int64(len(c.pieces)+len(piece)) > r.memory {
			r.stop(L, errMemory)
		}
		c.pieces = append(c.pieces, piece...)
	}
	if !lua.LVAsBool(r.arg[1]) {
		r.arg[0] = lua.LNil
		L.Push(lua.LNil)
		return 1
	}
	if c.whole == nil {
		r.chargeString(L, len(c.pieces))
		c.whole = lua.LString(c.pieces)
		c.pieces = nil
	}
	r.arg[0] = c.whole
	L.Push(c.whole)
	return 1
}

func responseSetRawBody(L *lua.LState, r *run) int {
	body, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "body must be a string")
	}
	if body == "" {
		body = "\n" // nginx knows no empty last piece
	}
	r.arg[0], r.arg[1] = body, lua.LTrue
	return 0
}
