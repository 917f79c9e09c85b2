package function

import (
	"regexp"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The interpreter words its errors in its own way. Scripts see LuaJIT's wording, with the names of what was at fault.
var (
	positioned   = regexp.MustCompile(`^(\[string ".*?"\]):(\d+): `)
	indexFault   = regexp.MustCompile(`^attempt to index a non-table object\((.*?)\) with key '(?s:(.*))'$`)
	mathFault    = regexp.MustCompile(`^cannot perform .* operation between (\S+) and (\S+)$`)
	compareFault = regexp.MustCompile(`^attempt to compare (\S+) with (\S+)$`)
)

// translate words an error of the interpreter as LuaJIT does. Errors that scripts raise themselves pass unchanged.
func (r *run) translate(message string) string {
	at := positioned.FindStringSubmatch(message)
	if at == nil {
		return message
	}
	line, _ := strconv.Atoi(at[2])
	text := message[len(at[0]):]
	known := r.namesOf(at[1])
	if known == nil {
		return message
	}
	return at[0] + r.reword(known, line, text)
}

// namesOf gives the names of a chunk by its own name: of the running one, else of any that is called so.
func (r *run) namesOf(chunk string) *names {
	if own := r.ready.chunk; own.name == chunk {
		return own.names
	}
	for other := range r.worker.ready {
		if other.name == chunk {
			return other.names
		}
	}
	return nil
}

func (r *run) reword(known *names, line int, text string) string {
	switch {
	case text == "attempt to call a non-function object":
		return r.callFault(known.calls[line])
	case strings.HasPrefix(text, "attempt to index a non-table object"):
		m := indexFault.FindStringSubmatch(text)
		if m == nil {
			return text
		}
		name := known.index[indexSite{line, m[2]}]
		if name == "" {
			name = known.other[line]
		}
		return fault("index", name, m[1])
	case strings.HasPrefix(text, "cannot perform "):
		m := mathFault.FindStringSubmatch(text)
		if m == nil {
			return text
		}
		kind := m[1]
		if kind == "number" {
			kind = m[2]
		}
		return fault("perform arithmetic on", operandName(known.math[line], kind), kind)
	case text == "__unm undefined":
		o := firstOperand(known.math[line])
		return fault("perform arithmetic on", o.name, o.known)
	case text == "__len undefined":
		o := firstOperand(known.math[line])
		return fault("get length of", o.name, o.known)
	case strings.HasPrefix(text, "attempt to compare "):
		if m := compareFault.FindStringSubmatch(text); m != nil && m[1] == m[2] {
			return "attempt to compare two " + m[1] + " values"
		}
	case strings.HasPrefix(text, "for statement "):
		switch strings.Fields(text)[2] {
		case "init":
			return "'for' initial value must be a number"
		case "limit":
			return "'for' limit must be a number"
		default:
			return "'for' step must be a number"
		}
	case text == "registry overflow":
		return "stack overflow"
	}
	return text
}

func fault(what, name, kind string) string {
	if kind == "" {
		kind = "nil"
	}
	if name == "" {
		return "attempt to " + what + " a " + kind + " value"
	}
	return "attempt to " + what + " " + name + " (a " + kind + " value)"
}

// operandName picks the operand of a line that can be of the kind.
func operandName(operands []operand, kind string) string {
	for _, o := range operands {
		if o.known == kind {
			return ""
		}
	}
	for _, o := range operands {
		if o.known == "" {
			return o.name
		}
	}
	return ""
}

func firstOperand(operands []operand) operand {
	for _, o := range operands {
		if o.known != "number" && o.known != "string" {
			return o
		}
	}
	return operand{}
}

// callFault finds which of the calls of a line can't be: the first whose global path doesn't lead to a function, else
// the last that has no such path.
func (r *run) callFault(sites []callSite) string {
	name := ""
	for _, site := range sites {
		if site.path == nil {
			name = site.name
			continue
		}
		v := r.lookup(site.path)
		if v.Type() != lua.LTFunction {
			return fault("call", site.name, v.Type().String())
		}
	}
	return fault("call", name, "nil")
}

// lookup follows constant keys from the running chunk's globals.
func (r *run) lookup(path []string) lua.LValue {
	var v lua.LValue = r.env
	for _, key := range path {
		table, ok := v.(*lua.LTable)
		if !ok {
			return lua.LNil
		}
		if v = table.RawGetString(key); v == lua.LNil {
			meta, _ := table.Metatable.(*lua.LTable)
			if meta == nil {
				return lua.LNil
			}
			next, _ := meta.RawGetString("__index").(*lua.LTable)
			if next == nil {
				return lua.LNil
			}
			v = next.RawGetString(key)
		}
	}
	return v
}
