package function

import (
	"reflect"
	"time"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// Sizes of what tables are made of, in bytes. They follow Go's maps at half load.
const (
	tableBytes    = 96
	slotBytes     = 16
	entryBytes    = 80
	indexBytes    = 64
	functionBytes = 96
	smallString   = 64 // shorter strings are not worth telling apart
)

// The parts of a lua.LTable by their places. The interpreter tells how long a table's list is, but not what it holds.
var tableParts = func() (parts struct{ array, dict, strdict, keys, index int }) {
	t := reflect.TypeFor[lua.LTable]()
	place := func(name string) int {
		field, ok := t.FieldByName(name)
		if !ok {
			panic("gopher-lua has changed: tables have no " + name)
		}
		return field.Index[0]
	}
	parts.array, parts.dict, parts.strdict = place("array"), place("dict"), place("strdict")
	parts.keys, parts.index = place("keys"), place("k2i")
	return parts
}()

func tableSize(t *lua.LTable) int64 {
	v := reflect.ValueOf(t).Elem()
	return tableBytes +
		slotBytes*int64(v.Field(tableParts.array).Cap()+v.Field(tableParts.keys).Cap()) +
		entryBytes*int64(v.Field(tableParts.dict).Len()+v.Field(tableParts.strdict).Len()) +
		indexBytes*int64(v.Field(tableParts.index).Len())
}

// measure estimates the bytes that can be reached from roots. It stops counting beyond bound; ok is false where it
// gave up at the deadline.
func measure(roots []lua.LValue, bound int64, deadline time.Time) (size int64, ok bool) {
	seen := map[unsafe.Pointer]struct{}{}
	first := func(p unsafe.Pointer) bool {
		if _, ok := seen[p]; ok {
			return false
		}
		seen[p] = struct{}{}
		return true
	}
	queue := append([]lua.LValue(nil), roots...)
	for n := 0; len(queue) > 0 && size <= bound; n++ {
		if n%1024 == 1023 && time.Now().After(deadline) {
			return size, false
		}
		v := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		switch v := v.(type) {
		case lua.LString:
			if len(v) < smallString || first(unsafe.Pointer(unsafe.StringData(string(v)))) {
				size += int64(len(v))
			}
		case *lua.LTable:
			if v == nil || !first(unsafe.Pointer(v)) {
				continue
			}
			size += tableSize(v)
			v.ForEach(func(key, value lua.LValue) {
				if _, ok := key.(lua.LNumber); !ok {
					queue = append(queue, key)
				}
				if held(value) {
					queue = append(queue, value)
				}
			})
			if v.Metatable != lua.LNil {
				queue = append(queue, v.Metatable)
			}
		case *lua.LFunction:
			if v == nil || !first(unsafe.Pointer(v)) {
				continue
			}
			size += functionBytes
			for _, up := range v.Upvalues {
				if up != nil {
					size += functionBytes
					queue = append(queue, up.Value())
				}
			}
		case *lua.LState:
			if v == nil || !first(unsafe.Pointer(v)) {
				continue
			}
			size += threadBytes
			for _, value := range registers(v) {
				if value != nil && held(value) {
					queue = append(queue, value)
				}
			}
		case *lua.LUserData:
			if v != nil && first(unsafe.Pointer(v)) {
				size += tableBytes
			}
		}
	}
	return size, true
}

// held reports whether a value is more than its slot.
func held(v lua.LValue) bool {
	switch v.(type) {
	case lua.LString, *lua.LTable, *lua.LFunction, *lua.LState, *lua.LUserData:
		return true
	default:
		return false
	}
}

// registers are the registers of a thread, with whatever lies in them.
func registers(thread *lua.LState) []lua.LValue {
	registry := reflect.ValueOf(thread).Elem().Field(threadRegistry).Elem()
	return *(*[]lua.LValue)(registry.Field(registryArray).Addr().UnsafePointer())
}

// Where a thread keeps its registers.
var threadRegistry, registryArray = func() (int, int) {
	registry, ok := reflect.TypeFor[lua.LState]().FieldByName("reg")
	if !ok {
		panic("gopher-lua has changed: threads have no registry")
	}
	array, ok := registry.Type.Elem().FieldByName("array")
	if !ok || array.Type != reflect.TypeFor[[]lua.LValue]() {
		panic("gopher-lua has changed: registries have no array")
	}
	return registry.Index[0], array.Index[0]
}()
