package function

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// phase is one of Kong's phases, or a set of them. Kong: kong/pdk/private/phases.lua
type phase uint32

const (
	certificate  phase = 0x2
	rewriting    phase = 0x10
	accessing    phase = 0x20
	balancing    phase = 0x40
	responding   phase = 0x80
	headerFilter phase = 0x200
	bodyFilter   phase = 0x400
	logging      phase = 0x2000
	preread      phase = 0x4000
	failing      phase = 0x1000000
	adminAPI     phase = 0x10000000
)

// Sets of phases that functions of the PDK may be called in.
const (
	anyRequest      = rewriting | accessing | responding | headerFilter | bodyFilter | logging | failing | adminAPI
	beforeContent   = rewriting | accessing | responding | failing | adminAPI
	routed          = accessing | responding | headerFilter | bodyFilter | logging
	answered        = responding | headerFilter | bodyFilter | logging | failing | adminAPI
	beforeAnswer    = rewriting | accessing | balancing | responding | headerFilter | failing | adminAPI
	upstreamChanges = rewriting | accessing
	upstreamTry     = rewriting | accessing | balancing
	targetChanges   = rewriting | accessing | balancing | preread
)

var phaseNames = []struct {
	phase phase
	name  string
}{
	{certificate, "certificate"},
	{rewriting, "rewrite"},
	{accessing, "access"},
	{balancing, "balancer"},
	{responding, "response"},
	{headerFilter, "header_filter"},
	{bodyFilter, "body_filter"},
	{logging, "log"},
	{preread, "preread"},
	{failing, "error"},
	{adminAPI, "admin_api"},
}

func (p phase) String() string {
	var names []string
	for _, one := range phaseNames {
		if p&one.phase != 0 {
			names = append(names, one.name)
		}
	}
	return strings.Join(names, ", ")
}

// in makes a function of the PDK that may be called in certain phases only.
func in(allowed phase, f func(L *lua.LState, r *run) int) lua.LGFunction {
	return func(L *lua.LState) int {
		r := runOf(L)
		if r.phase&allowed == 0 {
			raisef(L, 1, "function cannot be called in %s phase (only in: %s)", r.phase, allowed)
		}
		return f(L, r)
	}
}

// always makes a function of the PDK that may be called in every phase.
func always(f func(L *lua.LState, r *run) int) lua.LGFunction {
	return func(L *lua.LState) int { return f(L, runOf(L)) }
}
