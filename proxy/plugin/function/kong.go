package function

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/google/uuid"
	lua "github.com/yuin/gopher-lua"

	"sidekong/configs/entity"
)

// smallTable is room for as many keys as most tables hold: the interpreter's own default is 32.
const smallTable = 4

// What scripts are told about the Kong that they believe to run in.
const (
	kongVersion    = "3.9.3"
	kongVersionNum = 3009003
)

// newKong makes the table kong.
func newKong(L *lua.LState) *lua.LTable {
	table := func(functions map[string]lua.LGFunction) *lua.LTable {
		t := L.NewTable()
		for name, f := range functions {
			t.RawSetString(name, L.NewFunction(f))
		}
		return t
	}
	kong := L.NewTable()
	kong.RawSetString("version", lua.LString(kongVersion))
	kong.RawSetString("version_num", lua.LNumber(kongVersionNum))
	kong.RawSetString("request", table(requestFunctions))
	kong.RawSetString("response", table(responseFunctions))
	service := table(serviceFunctions)
	service.RawSetString("request", table(serviceRequestFunctions))
	service.RawSetString("response", table(serviceResponseFunctions))
	kong.RawSetString("service", service)
	kong.RawSetString("client", table(clientFunctions))
	kong.RawSetString("router", table(routerFunctions))
	kong.RawSetString("node", table(nodeFunctions))
	kong.RawSetString("ip", table(map[string]lua.LGFunction{"is_trusted": always(ipTrusted)}))
	kong.RawSetString("table", table(kongTableFunctions))
	kong.RawSetString("cache", table(cacheFunctions))
	kong.RawSetString("nginx", table(map[string]lua.LGFunction{
		"get_subsystem": func(L *lua.LState) int { L.Push(lua.LString("http")); return 1 },
	}))
	kong.RawSetString("configuration", L.NewTable())
	kong.RawSetString("tracing", newTracing(L))

	log := table(logFunctions)
	meta := L.NewTable()
	meta.RawSetString("__call", L.NewFunction(logCall))
	log.Metatable = meta
	kong.RawSetString("log", log)

	ctx := L.NewTable()
	meta = L.NewTable()
	meta.RawSetString("__index", L.NewFunction(ctxIndex))
	ctx.Metatable = meta
	kong.RawSetString("ctx", ctx)
	return kong
}

// ctxIndex gives kong.ctx.shared and kong.ctx.plugin.
func ctxIndex(L *lua.LState) int {
	r := runOf(L)
	key, _ := L.Get(2).(lua.LString)
	switch key {
	case "shared":
		if r.request.shared == nil {
			r.request.shared = L.CreateTable(0, smallTable)
		}
		L.Push(r.request.shared)
	case "plugin":
		t := r.request.plugins[r.plugin]
		if t == nil {
			t = L.CreateTable(0, smallTable)
			if r.request.plugins == nil {
				r.request.plugins = map[string]*lua.LTable{}
			}
			r.request.plugins[r.plugin] = t
		}
		L.Push(t)
	default:
		L.Push(lua.LNil)
	}
	return 1
}

// kong.client. Kong: kong/pdk/client.lua
var clientFunctions = map[string]lua.LGFunction{
	"get_ip":             always(factString(func(f *Facts) string { return f.Peer.Addr().String() })),
	"get_forwarded_ip":   always(factString(func(f *Facts) string { return f.Client.String() })),
	"get_port":           always(factNumber(func(f *Facts) float64 { return float64(f.Peer.Port()) })),
	"get_forwarded_port": always(clientForwardedPort),
	"get_protocol":       in(routed, clientProtocol),
	"get_consumer":       in(routed, clientConsumer),
	"get_credential":     in(routed, clientCredential),
	"load_consumer":      in(routed, clientLoadConsumer),
	"authenticate":       in(accessing, clientAuthenticate),
}

func clientForwardedPort(L *lua.LState, r *run) int {
	f := r.host.Facts()
	port := f.ClientPort
	if port == 0 && f.Client == f.Peer.Addr() {
		port = int(f.Peer.Port())
	}
	L.Push(lua.LNumber(port))
	return 1
}

// clientProtocol gives the scheme; that which a trusted peer has terminated counts where it is allowed.
func clientProtocol(L *lua.LState, r *run) int {
	f := r.host.Facts()
	allow := L.Get(1)
	if _, ok := allow.(lua.LBool); !ok && allow != lua.LNil {
		raise(L, 1, "allow_terminated must be a boolean")
	}
	scheme := f.Scheme
	if lua.LVAsBool(allow) && scheme == "http" {
		if proto, ok := r.forwarded("X-Forwarded-Proto"); ok && strings.EqualFold(proto, "https") {
			scheme = "https"
		}
	}
	L.Push(lua.LString(scheme))
	return 1
}

// pushEntity pushes an entity as a table, nil as nil.
func pushEntity(L *lua.LState, r *run, e any) int {
	text, err := json.Marshal(e)
	if err != nil {
		L.Push(lua.LNil)
		return 1
	}
	v, err := r.decodeJSON(L, string(text), false)
	if err != nil || v == null {
		v = lua.LNil
	}
	L.Push(v)
	return 1
}

func clientConsumer(L *lua.LState, r *run) int { return pushEntity(L, r, r.host.Facts().Consumer) }

func clientCredential(L *lua.LState, r *run) int { return pushEntity(L, r, r.host.Facts().Credential) }

func clientLoadConsumer(L *lua.LState, r *run) int {
	id, ok := L.Get(1).(lua.LString)
	if !ok || id == "" {
		raise(L, 1, "consumer_id must be a string")
	}
	if uuid.Validate(string(id)) != nil && !lua.LVAsBool(L.Get(2)) {
		raise(L, 1, "cannot load a consumer with an id that is not a uuid")
	}
	var found *entity.Consumer
	var err error
	r.wait(func() {
		if found, err = r.host.Consumer(string(id), false); found == nil && err == nil && lua.LVAsBool(L.Get(2)) {
			found, err = r.host.Consumer(string(id), true)
		}
	})
	if err != nil {
		return nothing(L, err.Error())
	}
	return pushEntity(L, r, found)
}

func clientAuthenticate(L *lua.LState, r *run) int {
	for i, name := range []string{"consumer", "credential"} {
		if _, ok := L.Get(i + 1).(*lua.LTable); !ok && L.Get(i+1) != lua.LNil {
			raise(L, 1, name+" must be a table or nil")
		}
	}
	if L.Get(1) == lua.LNil && L.Get(2) == lua.LNil {
		raise(L, 1, "either credential or consumer must be provided")
	}
	var consumer *entity.Consumer
	if t, ok := L.Get(1).(*lua.LTable); ok {
		field := func(name string) string {
			s, _ := toString(t.RawGetString(name))
			return s
		}
		consumer = &entity.Consumer{Meta: entity.Meta{ID: field("id")}, Username: field("username"), CustomID: field("custom_id")}
	}
	var credential any
	if t, ok := L.Get(2).(*lua.LTable); ok {
		encoded, err := r.encodeJSON(L, t, jsonPrecise)
		if err == nil {
			credential = json.RawMessage(encoded)
		}
	}
	r.host.Authenticate(consumer, credential)
	return 0
}

// kong.router. Kong: kong/pdk/router.lua
var routerFunctions = map[string]lua.LGFunction{
	"get_route":   in(routed, func(L *lua.LState, r *run) int { return pushEntity(L, r, r.host.Facts().Route) }),
	"get_service": in(routed, func(L *lua.LState, r *run) int { return pushEntity(L, r, r.host.Facts().Service) }),
}

// kong.node. Kong: kong/pdk/node.lua
var nodeFunctions = map[string]lua.LGFunction{
	"get_id": func(L *lua.LState) int {
		L.Push(lua.LString(runOf(L).worker.shared.options.NodeID))
		return 1
	},
	"get_hostname": func(L *lua.LState) int {
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		L.Push(lua.LString(name))
		return 1
	},
}

func ipTrusted(L *lua.LState, r *run) int {
	address, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "address must be a string")
	}
	addr, err := netip.ParseAddr(string(address))
	trusted := r.worker.shared.options.Trusted
	L.Push(lua.LBool(err == nil && trusted != nil && trusted(addr)))
	return 1
}

// kong.table. Kong: kong/pdk/table.lua
var kongTableFunctions = map[string]lua.LGFunction{
	"new": func(L *lua.LState) int { L.Push(L.NewTable()); return 1 },
	"clear": func(L *lua.LState) int {
		t := checkTable(L, 1)
		var keys []lua.LValue
		t.ForEach(func(k, _ lua.LValue) { keys = append(keys, k) })
		for i := len(keys) - 1; i >= 0; i-- {
			t.RawSet(keys[i], lua.LNil)
		}
		for t.Len() > 0 {
			t.Remove(t.Len())
		}
		return 0
	},
	"merge": func(L *lua.LState) int {
		merged := L.NewTable()
		for n := 1; n <= 2; n++ {
			if t, ok := L.Get(n).(*lua.LTable); ok {
				t.ForEach(func(k, v lua.LValue) {
					runOf(L).charge(L, entryBytes+indexBytes)
					merged.RawSet(k, v)
				})
			}
		}
		L.Push(merged)
		return 1
	},
}

// cacheFunctions are kong.cache as far as it goes without one: what is asked for is computed each time.
var cacheFunctions = map[string]lua.LGFunction{
	"get": func(L *lua.LState) int {
		if _, ok := L.Get(4).(*lua.LFunction); !ok {
			L.Push(lua.LNil)
			return 1
		}
		var args []lua.LValue
		for i := 5; i <= L.GetTop(); i++ {
			args = append(args, L.Get(i))
		}
		top := L.GetTop()
		call(L, lua.MultRet, L.Get(4), args...)
		return L.GetTop() - top
	},
	"probe":      func(L *lua.LState) int { L.Push(lua.LNil); return 1 },
	"invalidate": func(*lua.LState) int { return 0 },
}

// kong.log. Kong: kong/pdk/log.lua
var logFunctions = map[string]lua.LGFunction{
	"debug": logAt(slog.LevelDebug), "info": logAt(slog.LevelInfo), "notice": logAt(slog.LevelInfo),
	"warn": logAt(slog.LevelWarn), "err": logAt(slog.LevelError), "crit": logAt(slog.LevelError),
	"alert": logAt(slog.LevelError), "emerg": logAt(slog.LevelError),
	"inspect":             logAt(slog.LevelDebug),
	"set_serialize_value": always(logSerializeValue),
	"serialize":           in(logging, logSerialize),
}

// maxLogged bounds a line that a script logs, in bytes. Kong: LOG_MSG of nginx, 2 KiB; ours is roomier
const maxLogged = 16 << 10

func logAt(level slog.Level) lua.LGFunction {
	return func(L *lua.LState) int { return writeLog(L, level, 1) }
}

func logCall(L *lua.LState) int { return writeLog(L, slog.LevelInfo, 2) }

func writeLog(L *lua.LState, level slog.Level, first int) int {
	r := runOf(L)
	logger := r.host.Logger()
	if !logger.Enabled(r.host.Context(), level) {
		return 0
	}
	var line strings.Builder
	for i := first; i <= L.GetTop() && line.Len() < maxLogged; i++ {
		word := text(L, L.Get(i))
		line.WriteString(word[:min(len(word), maxLogged-line.Len())])
	}
	logger.Log(r.host.Context(), level, line.String(), "plugin", r.plugin, "phase", r.phase.String(),
		"request_id", r.host.Facts().RequestID)
	return 0
}

// logSerializeValue keeps a value for the log serializer. Kong: kong/pdk/log.lua set_serialize_value
func logSerializeValue(L *lua.LState, r *run) int {
	key, ok := L.Get(1).(lua.LString)
	if !ok {
		raise(L, 1, "key must be a string")
	}
	value, mode := logValue(L, r, string(key), L.Get(2), L.Get(3))
	r.host.SetLogValue(string(key), value, mode)
	return 0
}

// maxLogKey bounds the key of a value in a log record, in bytes, and so how deep it leads.
const maxLogKey = 1 << 10

// logValue makes a value for a log record as JSON, and gives the mode that options say. The values of a request may
// have as much memory as a script.
func logValue(L *lua.LState, r *run, key string, value, options lua.LValue) (encoded json.RawMessage, mode string) {
	mode = "set"
	if options, ok := options.(*lua.LTable); ok {
		if s, ok := options.RawGetString("mode").(lua.LString); ok {
			mode = string(s)
		}
	}
	if mode != "set" && mode != "add" && mode != "replace" {
		raise(L, 1, "mode must be 'set', 'add' or 'replace'")
	}
	if len(key) > maxLogKey {
		raisef(L, 1, "key is longer than %d bytes", maxLogKey)
	}
	text, err := r.encodeJSON(L, value, jsonRecord)
	if err != nil {
		raisef(L, 1, "value must be nil, a number, string, boolean or a non-self-referencial table containing numbers, string and booleans")
	}
	r.request.loggedBytes += int64(entryBytes + len(key) + len(text))
	if r.request.loggedBytes > r.memory/loggedShare {
		r.stop(L, errMemory)
	}
	return json.RawMessage(text), mode
}

func logSerialize(L *lua.LState, r *run) int {
	record, err := json.Marshal(r.host.LogRecord())
	if err != nil {
		raise(L, 1, err.Error())
	}
	v, err := r.decodeJSON(L, string(record), false)
	if err != nil {
		raise(L, 1, err.Error())
	}
	L.Push(v)
	return 1
}
