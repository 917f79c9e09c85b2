package function

import (
	"strconv"

	"github.com/yuin/gopher-lua/ast"
)

// Names of the functions that rewritten chunks call. No script can write them.
const (
	concatName = "(concat)"
	keyName    = "(key)"
)

// denseKeys are integer keys that need no look: a table of them is small.
const denseKeys = 64

// names remembers how a chunk calls the things that it works on, for messages such as
// "attempt to index local 'a' (a nil value)": the interpreter itself doesn't say.
type names struct {
	index map[indexSite]string // what is indexed with a constant key
	other map[int]string       // what is indexed otherwise, by line
	calls map[int][]callSite
	math  map[int][]operand // operands of arithmetic and of the length operator
}

type indexSite struct {
	line int
	key  string
}

// callSite is a called expression: its name as messages show it, and its path from a global where it has one.
type callSite struct {
	name string
	path []string
}

// operand is one side of an operation: its name, "" for a value without one, and its type where the source shows it.
type operand struct {
	name  string
	known string
}

// rewriter walks a chunk once.
//
// Two things that the interpreter does by itself can allocate without bound in a single instruction, and its hook
// can't see them: joining strings, and storing to an integer key far beyond a list's end. So a .. b becomes
// (concat)(a, b), and t[k] = v becomes t[(key)(t, k)] = v where k is neither a constant string nor small.
type rewriter struct {
	names  *names
	scopes []scope
}

// scope is one block; function tells that a function begins with it.
type scope struct {
	function bool
	locals   map[string]bool
}

// rewrite gives the chunk as the body of a function, inside a function that takes (concat) and (key) as its arguments.
func rewrite(body []ast.Stmt) ([]ast.Stmt, *names) {
	r := &rewriter{names: &names{
		index: map[indexSite]string{}, other: map[int]string{}, calls: map[int][]callSite{}, math: map[int][]operand{},
	}}
	r.push(true)
	r.block(body)
	r.pop()
	bind := &ast.LocalAssignStmt{Names: []string{concatName, keyName}, Exprs: []ast.Expr{&ast.Comma3Expr{}}}
	bind.Exprs[0].SetLine(1)
	bind.SetLine(1)
	inner := &ast.FunctionExpr{ParList: &ast.ParList{HasVargs: true}, Stmts: body}
	inner.SetLine(1)
	inner.SetLastLine(lastLine(body))
	give := &ast.ReturnStmt{Exprs: []ast.Expr{inner}}
	give.SetLine(1)
	return []ast.Stmt{bind, give}, r.names
}

func lastLine(body []ast.Stmt) int {
	if len(body) == 0 {
		return 1
	}
	last := body[len(body)-1]
	return max(last.Line(), last.LastLine())
}

func (r *rewriter) push(function bool) {
	r.scopes = append(r.scopes, scope{function: function, locals: map[string]bool{}})
}
func (r *rewriter) pop() { r.scopes = r.scopes[:len(r.scopes)-1] }

func (r *rewriter) declare(names ...string) {
	for _, name := range names {
		r.scopes[len(r.scopes)-1].locals[name] = true
	}
}

// kind says what an identifier is where it stands: local, upvalue or global.
func (r *rewriter) kind(name string) string {
	crossed := false
	for i := len(r.scopes) - 1; i >= 0; i-- {
		if r.scopes[i].locals[name] {
			if crossed {
				return "upvalue"
			}
			return "local"
		}
		crossed = crossed || r.scopes[i].function
	}
	return "global"
}

// describe names an expression as messages do, "" where it has no name.
func (r *rewriter) describe(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return r.kind(e.Value) + " '" + e.Value + "'"
	case *ast.AttrGetExpr:
		if key, ok := e.Key.(*ast.StringExpr); ok {
			return "field '" + key.Value + "'"
		}
		return "field '?'"
	case *ast.FuncCallExpr:
		return ""
	default:
		return ""
	}
}

func (r *rewriter) operand(e ast.Expr) operand {
	o := operand{name: r.describe(e)}
	switch e.(type) {
	case *ast.StringExpr:
		o.known = "string"
	case *ast.TableExpr:
		o.known = "table"
	case *ast.FunctionExpr:
		o.known = "function"
	case *ast.NilExpr:
		o.known = "nil"
	case *ast.TrueExpr, *ast.FalseExpr:
		o.known = "boolean"
	case *ast.NumberExpr:
		o.known = "number"
	}
	return o
}

// path gives the constant keys from a global to an expression.
func (r *rewriter) path(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		if r.kind(e.Value) == "global" {
			return []string{e.Value}
		}
	case *ast.AttrGetExpr:
		if key, ok := e.Key.(*ast.StringExpr); ok {
			if base := r.path(e.Object); base != nil {
				return append(base, key.Value)
			}
		}
	}
	return nil
}

func (r *rewriter) body(stmts []ast.Stmt, locals ...string) {
	r.push(false)
	r.declare(locals...)
	r.block(stmts)
	r.pop()
}

func (r *rewriter) block(stmts []ast.Stmt) {
	for _, s := range stmts {
		r.statement(s)
	}
}

func (r *rewriter) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		for i := range s.Lhs {
			r.target(s.Lhs[i])
		}
		r.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		// local function f: its name is known in its own body
		if len(s.Exprs) == 1 && len(s.Names) == 1 {
			if _, ok := s.Exprs[0].(*ast.FunctionExpr); ok {
				r.declare(s.Names...)
			}
		}
		r.exprs(s.Exprs)
		r.declare(s.Names...)
	case *ast.FuncCallStmt:
		s.Expr = r.expr(s.Expr)
	case *ast.DoBlockStmt:
		r.body(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = r.expr(s.Condition)
		r.body(s.Stmts)
	case *ast.RepeatStmt:
		r.push(false)
		r.block(s.Stmts)
		s.Condition = r.expr(s.Condition)
		r.pop()
	case *ast.IfStmt:
		s.Condition = r.expr(s.Condition)
		r.body(s.Then)
		r.body(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit = r.expr(s.Init), r.expr(s.Limit)
		if s.Step != nil {
			s.Step = r.expr(s.Step)
		}
		r.body(s.Stmts, s.Name)
	case *ast.GenericForStmt:
		r.exprs(s.Exprs)
		r.body(s.Stmts, s.Names...)
	case *ast.FuncDefStmt:
		if s.Name.Func != nil {
			r.target(s.Name.Func)
		}
		if s.Name.Receiver != nil {
			s.Name.Receiver = r.expr(s.Name.Receiver)
		}
		r.function(s.Func, s.Name.Receiver != nil)
	case *ast.ReturnStmt:
		r.exprs(s.Exprs)
	}
}

// target rewrites what is assigned to.
func (r *rewriter) target(e ast.Expr) {
	access, ok := e.(*ast.AttrGetExpr)
	if !ok {
		return
	}
	simple := isSimple(access.Object)
	again := access.Object
	r.indexed(access)
	access.Object = r.expr(access.Object)
	access.Key = r.expr(access.Key)
	if isSmallKey(access.Key) {
		return
	}
	if !simple {
		nothing := &ast.NilExpr{}
		nothing.SetLine(e.Line())
		again = nothing
	}
	access.Key = hidden(e, keyName, again, access.Key)
}

// isSimple reports whether an expression may be evaluated twice.
func isSimple(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return true
	case *ast.AttrGetExpr:
		_, constant := e.Key.(*ast.StringExpr)
		return constant && isSimple(e.Object)
	default:
		return false
	}
}

func isSmallKey(key ast.Expr) bool {
	switch key := key.(type) {
	case *ast.StringExpr, *ast.TrueExpr, *ast.FalseExpr, *ast.NilExpr:
		return true
	case *ast.NumberExpr:
		n, err := strconv.Atoi(key.Value)
		return err == nil && n <= denseKeys
	default:
		return false
	}
}

// hidden makes a call of one of our functions, at the line of an expression.
func hidden(at ast.Expr, name string, args ...ast.Expr) ast.Expr {
	callee := &ast.IdentExpr{Value: name}
	callee.SetLine(at.Line())
	last := args[len(args)-1]
	switch last := last.(type) { // one value, not all that a call gives
	case *ast.FuncCallExpr:
		last.AdjustRet = true
	case *ast.Comma3Expr:
		last.AdjustRet = true
	}
	call := &ast.FuncCallExpr{Func: callee, Args: args, AdjustRet: true}
	call.SetLine(at.Line())
	call.SetLastLine(at.LastLine())
	return call
}

// indexed notes the name of what an expression indexes.
func (r *rewriter) indexed(e *ast.AttrGetExpr) {
	name := r.describe(e.Object)
	if name == "" {
		return
	}
	if key, ok := e.Key.(*ast.StringExpr); ok {
		r.names.index[indexSite{e.Line(), key.Value}] = name
		return
	}
	r.names.other[e.Line()] = name
}

func (r *rewriter) exprs(list []ast.Expr) {
	for i := range list {
		list[i] = r.expr(list[i])
	}
}

func (r *rewriter) function(f *ast.FunctionExpr, method bool) {
	r.push(true)
	r.declare(f.ParList.Names...)
	if method {
		r.declare("self")
	}
	r.block(f.Stmts)
	r.pop()
}

func (r *rewriter) expr(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.AttrGetExpr:
		r.indexed(e)
		e.Object, e.Key = r.expr(e.Object), r.expr(e.Key)
	case *ast.TableExpr:
		for _, field := range e.Fields {
			if field.Key != nil {
				field.Key = r.expr(field.Key)
				if !isSmallKey(field.Key) {
					nothing := &ast.NilExpr{}
					nothing.SetLine(e.Line())
					field.Key = hidden(e, keyName, nothing, field.Key)
				}
			}
			field.Value = r.expr(field.Value)
		}
	case *ast.FuncCallExpr:
		r.call(e)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.StringConcatOpExpr:
		return r.concat(e)
	case *ast.ArithmeticOpExpr:
		r.names.math[e.Line()] = append(r.names.math[e.Line()], r.operand(e.Lhs), r.operand(e.Rhs))
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.UnaryMinusOpExpr:
		r.names.math[e.Line()] = append(r.names.math[e.Line()], r.operand(e.Expr))
		e.Expr = r.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		e.Expr = r.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		r.names.math[e.Line()] = append(r.names.math[e.Line()], r.operand(e.Expr))
		e.Expr = r.expr(e.Expr)
	case *ast.FunctionExpr:
		r.function(e, false)
	}
	return e
}

func (r *rewriter) call(e *ast.FuncCallExpr) {
	site := callSite{}
	if e.Method != "" {
		site.name = "method '" + e.Method + "'"
		if name := r.describe(e.Receiver); name != "" {
			r.names.index[indexSite{e.Line(), e.Method}] = name
		}
		if base := r.path(e.Receiver); base != nil {
			site.path = append(base, e.Method)
		}
		e.Receiver = r.expr(e.Receiver)
	} else {
		site.name, site.path = r.describe(e.Func), r.path(e.Func)
		e.Func = r.expr(e.Func)
	}
	r.names.calls[e.Line()] = append(r.names.calls[e.Line()], site)
	r.exprs(e.Args)
}

// concat turns a whole chain, which nests to the right, into one call.
func (r *rewriter) concat(e *ast.StringConcatOpExpr) ast.Expr {
	var args []ast.Expr
	var rest ast.Expr = e
	for {
		link, ok := rest.(*ast.StringConcatOpExpr)
		if !ok || len(args) == maxOperands {
			break
		}
		r.names.math[e.Line()] = append(r.names.math[e.Line()], r.operand(link.Lhs))
		args = append(args, r.expr(link.Lhs))
		rest = link.Rhs
	}
	r.names.math[e.Line()] = append(r.names.math[e.Line()], r.operand(rest))
	return hidden(e, concatName, append(args, r.expr(rest))...)
}

// maxOperands is how many strings one call joins: each takes a register.
const maxOperands = 100
