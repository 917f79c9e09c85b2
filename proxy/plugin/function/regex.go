package function

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"
)

// ngx.re on Go's regular expressions: they never backtrack, and know neither look-around nor back references.

const (
	maxExpressions = 512     // compiled ones that are kept, for all workers
	maxExpression  = 4 << 10 // bytes of one
	maxRegexpWork  = 4 << 20 // bytes of subject times instructions of the expression
)

// expressions are compiled once for all.
var expressions struct {
	sync.Mutex
	compiled map[string]*expression
}

// expression is a compiled one with its size in instructions, on which its time per byte depends.
type expression struct {
	*regexp.Regexp
	size int
}

// compileRegexp compiles an expression with OpenResty's options.
func compileRegexp(source, options string) (*expression, string) {
	if len(source) > maxExpression {
		return nil, "pcre_compile() failed: regular expression is too large"
	}
	flags := ""
	for _, c := range options {
		switch c {
		case 'i', 's', 'm':
			flags += string(c)
		case 'x':
			source = stripSpace(source)
		case 'a', 'd', 'D', 'j', 'J', 'o', 'u', 'U':
		default:
			return nil, `unknown flag "` + string(c) + `" (flags "` + options + `")`
		}
	}
	anchored := strings.Contains(options, "a")
	key := flags + "/" + source
	if anchored {
		key = "a" + key
	}
	expressions.Lock()
	defer expressions.Unlock()
	if re := expressions.compiled[key]; re != nil {
		return re, ""
	}
	pattern := source
	if anchored {
		pattern = `\A(?:` + pattern + ")"
	}
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	re, err := regexp.Compile(pattern)
	var size int
	if err == nil {
		size, err = instructions(pattern)
	}
	if err != nil {
		return nil, "pcre_compile() failed: " + err.Error() + ` in "` + source + `"`
	}
	if expressions.compiled == nil || len(expressions.compiled) >= maxExpressions {
		expressions.compiled = map[string]*expression{}
	}
	e := &expression{re, size}
	expressions.compiled[key] = e
	return e, ""
}

// instructions counts those of a compiled expression.
func instructions(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	return len(prog.Inst), nil
}

// stripSpace removes what the option x ignores: white space and comments outside of sets.
func stripSpace(expression string) string {
	var out strings.Builder
	inSet := false
	for i := 0; i < len(expression); i++ {
		c := expression[i]
		switch {
		case c == '\\' && i+1 < len(expression):
			out.WriteString(expression[i : i+2])
			i++
			continue
		case c == '[':
			inSet = true
		case c == ']':
			inSet = false
		case !inSet && strings.IndexByte(" \t\r\n\v\f", c) >= 0:
			continue
		case !inSet && c == '#':
			for i < len(expression) && expression[i] != '\n' {
				i++
			}
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

// search is a subject that an expression is matched against: valid UTF-8 or not, Go matches its bytes one by one where they
// are no UTF-8.
type search struct {
	L       *lua.LState
	run     *run
	re      *expression
	subject string
}

// newSearch reads the first arguments of an ngx.re function; failure is what is wrong with them.
func newSearch(L *lua.LState, options int) (s *search, failure string) {
	subject, expression := loose(L, 1), loose(L, 2)
	re, failure := compileRegexp(expression, optString(L, options, ""))
	if failure != "" {
		return nil, failure
	}
	r := runOf(L)
	if len(subject)*re.size > maxRegexpWork {
		return nil, "pcre_exec() failed: -8" // PCRE's own limit on work
	}
	r.work(L, len(subject)/4+1)
	return &search{L: L, run: r, re: re, subject: subject}, ""
}

// loose is an argument as a string, whatever it is.
func loose(L *lua.LState, n int) string { return text(L, L.Get(n)) }

// from finds the first match at or after a position.
func (s *search) from(at int) []int {
	if at < 0 || at > len(s.subject) {
		return nil
	}
	s.run.work(s.L, (len(s.subject)-at)/4+1)
	var loc []int
	s.run.timed(func() { loc = s.re.FindStringSubmatchIndex(s.subject[at:]) })
	if loc == nil {
		return nil
	}
	for i := range loc {
		if loc[i] >= 0 {
			loc[i] += at
		}
	}
	return loc
}

// table gives a match with its captures by number and by name.
func (s *search) table(loc []int) *lua.LTable {
	t := s.L.NewTable()
	names := s.re.SubexpNames()
	for i := range names {
		v := lua.LValue(lua.LFalse)
		if loc[2*i] >= 0 {
			s.run.chargeString(s.L, loc[2*i+1]-loc[2*i])
			v = lua.LString(clone(s.subject, loc[2*i], loc[2*i+1]))
		}
		t.RawSet(lua.LNumber(i), v)
		if names[i] != "" {
			t.RawSetString(names[i], v)
		}
	}
	return t
}

func nothing(L *lua.LState, failure string) int {
	L.Push(lua.LNil)
	if failure == "" {
		return 1
	}
	L.Push(lua.LString(failure))
	return 2
}

// position is the pos field of the context table.
func (s *search) position(n int) (at int, ctx *lua.LTable) {
	ctx, _ = s.L.Get(n).(*lua.LTable)
	if ctx == nil {
		return 0, nil
	}
	if pos, ok := ctx.RawGetString("pos").(lua.LNumber); ok {
		at = max(int(pos)-1, 0)
	}
	return at, ctx
}

func reMatch(L *lua.LState) int {
	s, failure := newSearch(L, 3)
	if failure != "" {
		return nothing(L, failure)
	}
	at, ctx := s.position(4)
	loc := s.from(at)
	if loc == nil {
		return nothing(L, "")
	}
	if ctx != nil {
		ctx.RawSetString("pos", lua.LNumber(loc[1]+1))
	}
	L.Push(s.table(loc))
	return 1
}

func reFind(L *lua.LState) int {
	s, failure := newSearch(L, 3)
	if failure != "" {
		L.Push(lua.LNil)
		return 1 + nothing(L, failure)
	}
	at, ctx := s.position(4)
	group := optInt(L, 5, 0)
	loc := s.from(at)
	if loc == nil {
		return nothing(L, "")
	}
	if ctx != nil {
		ctx.RawSetString("pos", lua.LNumber(loc[1]+1))
	}
	if group < 0 || 2*group+1 >= len(loc) {
		L.Push(lua.LNil)
		return 1 + nothing(L, "nth out of bound")
	}
	if loc[2*group] < 0 {
		return nothing(L, "")
	}
	L.Push(lua.LNumber(loc[2*group] + 1))
	L.Push(lua.LNumber(loc[2*group+1]))
	return 2
}

func reGmatch(L *lua.LState) int {
	s, failure := newSearch(L, 3)
	if failure != "" {
		return nothing(L, failure)
	}
	at := 0
	L.Push(L.NewFunction(func(L *lua.LState) int {
		s.L, s.run = L, runOf(L)
		loc := s.from(at)
		if loc == nil {
			at = len(s.subject) + 1
			return nothing(L, "")
		}
		at = loc[1]
		if loc[1] == loc[0] {
			at++
		}
		L.Push(s.table(loc))
		return 1
	}))
	return 1
}

func reSub(L *lua.LState) int  { return substitute(L, false) }
func reGsub(L *lua.LState) int { return substitute(L, true) }

func substitute(L *lua.LState, global bool) int {
	s, failure := newSearch(L, 4)
	if failure != "" {
		L.Push(lua.LNil)
		return 1 + nothing(L, failure)
	}
	replacement := L.Get(3)
	var template []piece
	if _, ok := replacement.(*lua.LFunction); !ok {
		if template, failure = parseTemplate(loose(L, 3)); failure != "" {
			L.Push(lua.LNil)
			return 1 + nothing(L, failure)
		}
	}
	var out strings.Builder
	count, at := 0, 0
	write := func(text string) {
		if out.Len()+len(text) > out.Cap() {
			s.run.chargeString(L, 2*(out.Len()+len(text)))
		}
		out.WriteString(text)
	}
	for at <= len(s.subject) {
		loc := s.from(at)
		if loc == nil {
			break
		}
		count++
		write(s.subject[at:loc[0]])
		if template == nil {
			write(text(L, callOne(L, replacement, s.table(loc))))
		}
		for _, p := range template {
			switch {
			case p.group < 0:
				write(p.text)
			case 2*p.group+1 < len(loc) && loc[2*p.group] >= 0:
				write(s.subject[loc[2*p.group]:loc[2*p.group+1]])
			}
		}
		at = loc[1]
		if loc[1] == loc[0] {
			if at < len(s.subject) {
				write(s.subject[at : at+1])
			}
			at++
		}
		if !global {
			break
		}
	}
	if at < len(s.subject) {
		write(s.subject[at:])
	}
	L.Push(lua.LString(out.String()))
	L.Push(lua.LNumber(count))
	return 2
}

// piece is a part of a replacement: text, or a group where group isn't negative.
type piece struct {
	text  string
	group int
}

// parseTemplate reads a replacement with $0, ${1} and $$.
func parseTemplate(template string) (pieces []piece, failure string) {
	pieces = []piece{}
	for template != "" {
		i := strings.IndexByte(template, '$')
		if i < 0 {
			return append(pieces, piece{template, -1}), ""
		}
		if i > 0 {
			pieces = append(pieces, piece{template[:i], -1})
		}
		template = template[i+1:]
		if strings.HasPrefix(template, "$") {
			pieces = append(pieces, piece{"$", -1})
			template = template[1:]
			continue
		}
		braces := strings.HasPrefix(template, "{")
		template = strings.TrimPrefix(template, "{")
		digits := 0
		group := 0
		for digits < len(template) && digits < 4 && template[digits] >= '0' && template[digits] <= '9' {
			group = group*10 + int(template[digits]-'0')
			digits++
		}
		if digits == 0 || braces && !strings.HasPrefix(template[digits:], "}") {
			return nil, "the use of variables in the replacement string is not supported"
		}
		template = template[digits:]
		if braces {
			template = template[1:]
		}
		pieces = append(pieces, piece{"", group})
	}
	return pieces, ""
}
