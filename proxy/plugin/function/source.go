package function

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"sidekong/configs/entity"
)

// LuaJIT gives functions with ... no table arg, and making one costs more than most calls.
func init() { lua.CompatVarArg = false }

// chunk is a compiled chunk of Lua. It is shared by all workers and never changes.
type chunk struct {
	name  string // as messages show it: [string "first line..."]
	proto *lua.FunctionProto
	names *names
}

// compile makes a chunk of LuaJIT's Lua runnable on gopher-lua, whose language is nearly the same:
// escapes and identifiers are written in Lua 5.1's way, and the syntax tree is changed where the interpreter would
// allocate without being asked (see rewrite).
func compile(source string) (*chunk, error) {
	c := &chunk{name: chunkName(source)}
	if err := entity.CompileLua(source); err != nil {
		parsed, compiled := (*parse.Error)(nil), (*lua.CompileError)(nil)
		if !errors.As(err, &parsed) && !errors.As(err, &compiled) {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	statements, err := parse.Parse(strings.NewReader(plainLua(source)), c.name)
	if err != nil {
		return nil, c.syntaxError(err)
	}
	statements, c.names = rewrite(statements)
	if c.proto, err = lua.Compile(statements, c.name); err != nil {
		return nil, c.syntaxError(err)
	}
	return c, nil
}

// chunkName names a chunk by its first line, as LuaJIT does for chunks that are no files. LuaJIT: lj_debug_shortname
func chunkName(source string) string {
	const whole, part = 60 - 12, 60 - 15
	n := 0
	for n < len(source) && n < whole && source[n] >= ' ' {
		n++
	}
	if n == len(source) {
		return `[string "` + source + `"]`
	}
	return `[string "` + source[:min(n, part)] + `..."]`
}

// syntaxError words the parser's complaint as LuaJIT does, as far as the parser knows.
func (c *chunk) syntaxError(err error) error {
	var parsed *parse.Error
	if errors.As(err, &parsed) {
		if parsed.Pos.Line == parse.EOF {
			return fmt.Errorf("%s: %s near '<eof>'", c.name, trimMessage(parsed.Message))
		}
		return fmt.Errorf("%s:%d: %s near '%s'", c.name, parsed.Pos.Line, trimMessage(parsed.Message), parsed.Token)
	}
	var compiled *lua.CompileError
	if errors.As(err, &compiled) {
		return fmt.Errorf("%s:%d: %s", c.name, compiled.Line, compiled.Message)
	}
	return fmt.Errorf("%s: %w", c.name, err)
}

func trimMessage(message string) string {
	message = strings.TrimSpace(message)
	if strings.HasPrefix(message, "syntax error") {
		return "unexpected symbol"
	}
	return message
}

// plainLua rewrites what LuaJIT reads and Lua 5.1 does not: \x, \z and \u escapes, bytes beyond ASCII in identifiers,
// hexadecimal floats.
func plainLua(source string) string {
	var out strings.Builder
	out.Grow(len(source))
	for i := 0; i < len(source); {
		c := source[i]
		switch {
		case c == '-' && strings.HasPrefix(source[i:], "--"):
			end := i + 2
			if level, ok := longBracket(source[end:]); ok {
				end += longEnd(source[end:], level)
			} else if stop := strings.IndexByte(source[end:], '\n'); stop >= 0 {
				end += stop
			} else {
				end = len(source)
			}
			out.WriteString(source[i:end])
			i = end
		case c == '[':
			end := i + 1
			if level, ok := longBracket(source[i:]); ok {
				end = i + longEnd(source[i:], level)
			}
			out.WriteString(source[i:end])
			i = end
		case c == '"' || c == '\'':
			i += plainString(&out, source[i:])
		case c >= '0' && c <= '9':
			i += plainNumber(&out, source[i:])
		case isNameByte(c):
			end := i
			for end < len(source) && (isNameByte(source[end]) || source[end] >= '0' && source[end] <= '9') {
				if source[end] >= utf8.RuneSelf {
					fmt.Fprintf(&out, "_x%02X", source[end])
				} else {
					out.WriteByte(source[end])
				}
				end++
			}
			i = end
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String()
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// longBracket reports whether text opens a long string, and with how many equals signs.
func longBracket(text string) (level int, ok bool) {
	if !strings.HasPrefix(text, "[") {
		return 0, false
	}
	for level = 1; level < len(text) && text[level] == '='; level++ {
	}
	return level - 1, level < len(text) && text[level] == '['
}

func longEnd(text string, level int) int {
	closing := "]" + strings.Repeat("=", level) + "]"
	if i := strings.Index(text, closing); i >= 0 {
		return i + len(closing)
	}
	return len(text)
}

// plainString copies a quoted string with its escapes made decimal, and returns its length in the source.
func plainString(out *strings.Builder, text string) int {
	quote := text[0]
	out.WriteByte(quote)
	lines := 0 // newlines that \z swallowed: they come after the string, for the sake of line numbers
	i := 1
	for i < len(text) && text[i] != quote && text[i] != '\n' {
		if text[i] != '\\' || i+1 == len(text) {
			out.WriteByte(text[i])
			i++
			continue
		}
		switch rest := text[i+1:]; rest[0] {
		case 'x':
			if v, err := strconv.ParseUint(cut(rest, 1, 3), 16, 8); err == nil {
				fmt.Fprintf(out, "\\%03d", v)
				i += 4
				continue
			}
		case 'z':
			i += 2
			for i < len(text) && strings.IndexByte(" \t\r\n\v\f", text[i]) >= 0 {
				if text[i] == '\n' {
					lines++
				}
				i++
			}
			continue
		case 'u':
			end := strings.IndexByte(rest, '}')
			if strings.HasPrefix(rest, "u{") && end > 0 {
				if v, err := strconv.ParseUint(rest[2:end], 16, 32); err == nil && v <= utf8.MaxRune {
					for _, b := range []byte(string(rune(v))) {
						fmt.Fprintf(out, "\\%03d", b)
					}
					i += end + 2
					continue
				}
			}
		}
		out.WriteString(text[i : i+2])
		i += 2
	}
	if i < len(text) && text[i] == quote {
		out.WriteByte(quote)
		i++
	}
	out.WriteString(strings.Repeat("\n", lines))
	return i
}

func cut(s string, from, to int) string {
	if to > len(s) {
		return ""
	}
	return s[from:to]
}

// plainNumber copies a number; one in hexadecimal with a fraction or an exponent becomes decimal.
func plainNumber(out *strings.Builder, text string) int {
	end := 0
	hexadecimal := len(text) > 1 && (text[1] == 'x' || text[1] == 'X')
	for end < len(text) {
		c := text[end]
		sign := (c == '+' || c == '-') && end > 0
		if sign {
			e := text[end-1] | 0x20
			sign = !hexadecimal && e == 'e' || hexadecimal && e == 'p'
		}
		dots := c == '.' && !strings.HasPrefix(text[end:], "..")
		if !sign && !dots && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			break
		}
		end++
	}
	number := text[:end]
	if hexadecimal && strings.ContainsAny(number, ".pP") {
		if !strings.ContainsAny(number, "pP") {
			number += "p0"
		}
		if v, err := strconv.ParseFloat(number, 64); err == nil && !math.IsInf(v, 0) {
			number = strconv.FormatFloat(v, 'g', 17, 64)
		}
	}
	out.WriteString(number)
	return end
}
