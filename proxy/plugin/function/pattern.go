package function

import lua "github.com/yuin/gopher-lua"

// Lua's patterns, with every step counted against the run's budget: a pattern that backtracks is stopped as a loop is.
// Lua: lstrlib.c

const (
	maxCaptures = 32
	maxMatch    = 200 // recursion of the matcher
	position    = -2  // a capture's length where it captures a position
	unclosed    = -1
)

// matcher matches one pattern against one subject.
type matcher struct {
	L        *lua.LState
	run      *run
	subject  string
	pattern  string
	level    int
	depth    int
	captures [maxCaptures]struct{ start, length int }
}

func newMatcher(L *lua.LState, subject, pattern string) *matcher {
	return &matcher{L: L, run: runOf(L), subject: subject, pattern: pattern}
}

// at matches the pattern from p on at s; it gives the end of the match, or -1.
func (m *matcher) at(s, p int) int {
	m.level, m.depth = 0, 0
	return m.match(s, p)
}

func (m *matcher) fail(message string) { raise(m.L, 1, message) }

func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxMatch {
		m.fail("pattern too complex")
	}
	defer func() { m.depth-- }()
	for {
		m.run.work(m.L, 1)
		if p == len(m.pattern) {
			return s
		}
		switch m.pattern[p] {
		case '(':
			if p+1 < len(m.pattern) && m.pattern[p+1] == ')' {
				return m.open(s, p+2, position)
			}
			return m.open(s, p+1, unclosed)
		case ')':
			return m.close(s, p+1)
		case '$':
			if p+1 == len(m.pattern) {
				if s == len(m.subject) {
					return s
				}
				return -1
			}
		case '%':
			if p+1 < len(m.pattern) {
				switch c := m.pattern[p+1]; {
				case c == 'b':
					if s = m.balanced(s, p+2); s < 0 {
						return -1
					}
					p += 4
					continue
				case c == 'f':
					p += 2
					if p >= len(m.pattern) || m.pattern[p] != '[' {
						m.fail("missing '[' after '%f' in pattern")
					}
					end := m.classEnd(p)
					previous, next := byte(0), byte(0)
					if s > 0 {
						previous = m.subject[s-1]
					}
					if s < len(m.subject) {
						next = m.subject[s]
					}
					if m.inSet(previous, p, end-1) || !m.inSet(next, p, end-1) {
						return -1
					}
					p = end
					continue
				case c >= '0' && c <= '9':
					if s = m.back(s, c); s < 0 {
						return -1
					}
					p += 2
					continue
				}
			}
		}
		end := m.classEnd(p)
		suffix := byte(0)
		if end < len(m.pattern) {
			suffix = m.pattern[end]
		}
		switch suffix {
		case '?':
			if m.single(s, p, end) {
				if got := m.match(s+1, end+1); got >= 0 {
					return got
				}
			}
			p = end + 1
		case '*':
			return m.most(s, p, end, 0)
		case '+':
			return m.most(s, p, end, 1)
		case '-':
			return m.least(s, p, end)
		default:
			if !m.single(s, p, end) {
				return -1
			}
			s++
			p = end
		}
	}
}

// most matches as many as can be.
func (m *matcher) most(s, p, end, least int) int {
	n := 0
	for m.single(s+n, p, end) {
		n++
		if n%64 == 0 {
			m.run.work(m.L, 64)
		}
	}
	for ; n >= least; n-- {
		if got := m.match(s+n, end+1); got >= 0 {
			return got
		}
	}
	return -1
}

// least matches as few as will do.
func (m *matcher) least(s, p, end int) int {
	for {
		if got := m.match(s, end+1); got >= 0 {
			return got
		}
		if !m.single(s, p, end) {
			return -1
		}
		s++
	}
}

func (m *matcher) open(s, p, length int) int {
	if m.level >= maxCaptures {
		m.fail("too many captures")
	}
	m.captures[m.level].start, m.captures[m.level].length = s, length
	m.level++
	got := m.match(s, p)
	if got < 0 {
		m.level--
	}
	return got
}

func (m *matcher) close(s, p int) int {
	level := -1
	for i := m.level - 1; i >= 0; i-- {
		if m.captures[i].length == unclosed {
			level = i
			break
		}
	}
	if level < 0 {
		m.fail("invalid pattern capture")
	}
	m.captures[level].length = s - m.captures[level].start
	got := m.match(s, p)
	if got < 0 {
		m.captures[level].length = unclosed
	}
	return got
}

func (m *matcher) balanced(s, p int) int {
	if p+1 >= len(m.pattern) {
		m.fail("unbalanced pattern")
	}
	if s >= len(m.subject) || m.subject[s] != m.pattern[p] {
		return -1
	}
	open, closing := m.pattern[p], m.pattern[p+1]
	depth := 1
	for i := s + 1; i < len(m.subject); i++ {
		if i%64 == 0 {
			m.run.work(m.L, 64)
		}
		switch c := m.subject[i]; c {
		case closing:
			if depth--; depth == 0 {
				return i + 1
			}
		case open:
			depth++
		}
	}
	return -1
}

// back matches what a capture has matched.
func (m *matcher) back(s int, digit byte) int {
	level := int(digit - '1')
	if digit == '0' || level >= m.level || m.captures[level].length == unclosed {
		m.fail("invalid capture index")
	}
	c := m.captures[level]
	length := max(c.length, 0)
	m.run.work(m.L, length/16)
	if len(m.subject)-s >= length && m.subject[c.start:c.start+length] == m.subject[s:s+length] {
		return s + length
	}
	return -1
}

// classEnd gives the end of the single-character class that begins at p.
func (m *matcher) classEnd(p int) int {
	c := m.pattern[p]
	p++
	switch c {
	case '%':
		if p == len(m.pattern) {
			m.fail("malformed pattern (ends with '%')")
		}
		return p + 1
	case '[':
		if p < len(m.pattern) && m.pattern[p] == '^' {
			p++
		}
		for first := true; ; first = false {
			if p >= len(m.pattern) {
				m.fail("malformed pattern (missing ']')")
			}
			c := m.pattern[p]
			if c == ']' && !first {
				return p + 1
			}
			p++
			if c == '%' {
				p++
			}
		}
	}
	return p
}

func (m *matcher) single(s, p, end int) bool {
	if s >= len(m.subject) {
		return false
	}
	c := m.subject[s]
	switch m.pattern[p] {
	case '.':
		return true
	case '%':
		return inClass(c, m.pattern[p+1])
	case '[':
		return m.inSet(c, p, end-1)
	default:
		return m.pattern[p] == c
	}
}

// inSet reports whether c is in the set that begins at p; last is the place of its closing bracket.
func (m *matcher) inSet(c byte, p, last int) bool {
	in := true
	p++
	if m.pattern[p] == '^' {
		in = false
		p++
	}
	for ; p < last; p++ {
		switch {
		case m.pattern[p] == '%':
			p++
			if p < last+1 && inClass(c, m.pattern[p]) {
				return in
			}
		case p+2 < last && m.pattern[p+1] == '-':
			if m.pattern[p] <= c && c <= m.pattern[p+2] {
				return in
			}
			p += 2
		case m.pattern[p] == c:
			return in
		}
	}
	return !in
}

func inClass(c, class byte) bool {
	var in bool
	switch class | 0x20 {
	case 'a':
		in = isAlpha(c)
	case 'c':
		in = c < 32 || c == 127
	case 'd':
		in = c >= '0' && c <= '9'
	case 'g':
		in = c > 32 && c < 127
	case 'l':
		in = c >= 'a' && c <= 'z'
	case 'p':
		in = c > 32 && c < 127 && !isAlpha(c) && (c < '0' || c > '9')
	case 's':
		in = c == ' ' || c >= 9 && c <= 13
	case 'u':
		in = c >= 'A' && c <= 'Z'
	case 'w':
		in = isAlpha(c) || c >= '0' && c <= '9'
	case 'x':
		in = c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
	case 'z':
		in = c == 0
	default:
		return class == c
	}
	if class >= 'A' && class <= 'Z' {
		return !in
	}
	return in
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// capture gives capture i; with none at all, capture 0 is the whole match from start to end.
func (m *matcher) capture(i, start, end int) lua.LValue {
	if i >= m.level {
		if i > 0 {
			m.fail("invalid capture index")
		}
		return m.piece(start, end)
	}
	c := m.captures[i]
	switch c.length {
	case position:
		return lua.LNumber(c.start + 1)
	case unclosed:
		m.fail("unfinished capture")
	}
	return m.piece(c.start, c.start+c.length)
}

// piece is a part of the subject. It is a copy, lest a few bytes keep a large subject alive.
func (m *matcher) piece(start, end int) lua.LValue {
	m.run.chargeString(m.L, end-start)
	return lua.LString(clone(m.subject, start, end))
}

// pushCaptures pushes all captures, or the whole match where there are none and whole is wanted.
func (m *matcher) pushCaptures(start, end int, whole bool) int {
	n := m.level
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.L.Push(m.capture(i, start, end))
	}
	return n
}
