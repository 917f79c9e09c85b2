package function

import (
	"sort"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

var tableFunctions = map[string]lua.LGFunction{
	"concat": tabConcat, "insert": tabInsert, "maxn": tabMaxN, "remove": tabRemove, "sort": tabSort,
	"getn": tabGetN,
}

func tabConcat(L *lua.LState) int {
	t := checkTable(L, 1)
	separator := optString(L, 2, "")
	from := optInt(L, 3, 1)
	to := optInt(L, 4, t.Len())
	r := runOf(L)
	var out strings.Builder
	for i := from; i <= to; i++ {
		r.work(L, 1)
		v := t.RawGet(lua.LNumber(i))
		s, ok := toString(v)
		if !ok {
			raisef(L, 1, "invalid value (%s) at index %d in table for 'concat'", v.Type().String(), i)
		}
		if out.Len()+len(s)+len(separator) > out.Cap() {
			r.chargeString(L, 2*(out.Len()+len(s)))
		}
		out.WriteString(s)
		if i < to {
			out.WriteString(separator)
		}
	}
	L.Push(lua.LString(out.String()))
	return 1
}

func tabInsert(L *lua.LState) int {
	t := checkTable(L, 1)
	end := t.Len() + 1
	r := runOf(L)
	switch L.GetTop() {
	case 2:
		r.charge(L, 2*slotBytes)
		setTable(L, t, lua.LNumber(end), L.Get(2))
	case 3:
		at := checkInt(L, 2)
		r.charge(L, 2*slotBytes)
		if at > end {
			end = at
		}
		r.work(L, max(end-at, 0)/16+1)
		for i := end; i > at; i-- {
			if (end-i)%sampleSteps == 0 {
				r.work(L, sampleSteps)
			}
			setTable(L, t, lua.LNumber(i), t.RawGet(lua.LNumber(i-1)))
		}
		setTable(L, t, lua.LNumber(at), L.Get(3))
	default:
		raise(L, 1, "wrong number of arguments to 'insert'")
	}
	return 0
}

func tabRemove(L *lua.LState) int {
	t := checkTable(L, 1)
	n := t.Len()
	at := optInt(L, 2, n)
	if at < 1 || at > n {
		L.Push(lua.LNil)
		return 1
	}
	v := t.RawGetInt(at)
	r := runOf(L)
	for i := at; i < n; i++ {
		if (i-at)%sampleSteps == 0 {
			r.work(L, sampleSteps)
		}
		t.RawSetInt(i, t.RawGetInt(i+1))
	}
	t.Remove(n)
	L.Push(v)
	return 1
}

func tabMaxN(L *lua.LState) int {
	largest := 0.0
	checkTable(L, 1).ForEach(func(k, _ lua.LValue) {
		if n, ok := k.(lua.LNumber); ok {
			largest = max(largest, float64(n))
		}
	})
	L.Push(lua.LNumber(largest))
	return 1
}

func tabGetN(L *lua.LState) int {
	L.Push(lua.LNumber(checkTable(L, 1).Len()))
	return 1
}

// sorter sorts a table's list in place. A comparison that makes no sense ends all the same.
type sorter struct {
	L       *lua.LState
	t       *lua.LTable
	n       int
	compare lua.LValue
}

func (s *sorter) Len() int { return s.n }

func (s *sorter) Swap(i, j int) {
	a, b := s.t.RawGetInt(i+1), s.t.RawGetInt(j+1)
	s.t.RawSetInt(i+1, b)
	s.t.RawSetInt(j+1, a)
}

func (s *sorter) Less(i, j int) bool {
	a, b := s.t.RawGetInt(i+1), s.t.RawGetInt(j+1)
	runOf(s.L).work(s.L, 4)
	if s.compare != lua.LNil {
		return lua.LVAsBool(callOne(s.L, s.compare, a, b))
	}
	switch x := a.(type) {
	case lua.LNumber:
		if y, ok := b.(lua.LNumber); ok {
			return x < y
		}
	case lua.LString:
		if y, ok := b.(lua.LString); ok {
			return x < y
		}
	}
	if method := s.L.GetMetaField(a, "__lt"); method != lua.LNil {
		return lua.LVAsBool(callOne(s.L, method, a, b))
	}
	kindA, kindB := a.Type().String(), b.Type().String()
	if kindA == kindB {
		raisef(s.L, 1, "attempt to compare two %s values", kindA)
	}
	raisef(s.L, 1, "attempt to compare %s with %s", kindA, kindB)
	return false
}

func tabSort(L *lua.LState) int {
	s := &sorter{L: L, t: checkTable(L, 1), compare: L.Get(2)}
	if s.compare != lua.LNil {
		checkFunction(L, 2)
	}
	s.n = s.t.Len()
	sort.Sort(s)
	return 0
}
