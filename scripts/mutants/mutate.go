package main

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"

	"golang.org/x/tools/go/ast/astutil"
)

// A mutant is one change of one operator.
type mutant struct {
	number int
	kind   string
	file   string // base name
	line   int
	column int
}

// A kind is how an operator is changed: the function of helpers.go.txt that stands for it, and the names of its mutants, which are
// gremlins'.
type kind struct {
	function string
	mutants  []string
}

var (
	binary = map[token.Token]kind{
		token.LSS: {"mutantLSS", []string{"CONDITIONALS_BOUNDARY", "CONDITIONALS_NEGATION"}},
		token.LEQ: {"mutantLEQ", []string{"CONDITIONALS_BOUNDARY", "CONDITIONALS_NEGATION"}},
		token.GTR: {"mutantGTR", []string{"CONDITIONALS_BOUNDARY", "CONDITIONALS_NEGATION"}},
		token.GEQ: {"mutantGEQ", []string{"CONDITIONALS_BOUNDARY", "CONDITIONALS_NEGATION"}},
		token.ADD: {"mutantADD", []string{"ARITHMETIC_BASE"}},
		token.SUB: {"mutantSUB", []string{"ARITHMETIC_BASE"}},
		token.MUL: {"mutantMUL", []string{"ARITHMETIC_BASE"}},
		token.QUO: {"mutantQUO", []string{"ARITHMETIC_BASE"}},
		token.REM: {"mutantREM", []string{"ARITHMETIC_BASE"}},
		token.AND: {"mutantAND", []string{"INVERT_BITWISE"}},
		token.OR:  {"mutantOR", []string{"INVERT_BITWISE"}},
	}
	logical  = map[token.Token]kind{token.LAND: {"mutantLAND", []string{"INVERT_LOGICAL"}}, token.LOR: {"mutantLOR", []string{"INVERT_LOGICAL"}}}
	negation = kind{"mutantNot", []string{"CONDITIONALS_NEGATION"}}
	minus    = kind{"mutantMinus", []string{"INVERT_NEGATIVES"}}
	step     = map[token.Token]kind{token.INC: {"mutantINC", []string{"INCREMENT_DECREMENT"}}, token.DEC: {"mutantDEC", []string{"INCREMENT_DECREMENT"}}}
	assign   = map[token.Token]kind{
		token.ADD_ASSIGN: {"mutantAddTo", []string{"INVERT_ASSIGNMENTS", "REMOVE_SELF_ASSIGNMENTS"}},
		token.SUB_ASSIGN: {"mutantSubTo", []string{"INVERT_ASSIGNMENTS", "REMOVE_SELF_ASSIGNMENTS"}},
		token.MUL_ASSIGN: {"mutantMulTo", []string{"INVERT_ASSIGNMENTS", "REMOVE_SELF_ASSIGNMENTS"}},
		token.QUO_ASSIGN: {"mutantQuoTo", []string{"INVERT_ASSIGNMENTS", "REMOVE_SELF_ASSIGNMENTS"}},
		token.OR_ASSIGN:  {"mutantOrTo", []string{"INVERT_BWASSIGN", "REMOVE_SELF_ASSIGNMENTS"}},
	}
	loop  = kind{"mutantOn", []string{"INVERT_LOOPCTRL"}}
	other = map[token.Token]token.Token{token.BREAK: token.CONTINUE, token.CONTINUE: token.BREAK}
)

// A mutator puts all mutants of some files into them.
type mutator struct {
	skip    map[int]bool // numbers that are left out, since they do not compile
	next    int
	mutants []mutant
}

// file is the text of a Go file in which each operator is a call that does as it did, or as the mutant that MUTANT names.
func (m *mutator) file(path string) ([]byte, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	change := func(c *astutil.Cursor, k kind, at token.Pos, to func(call func(args ...ast.Expr) ast.Expr) ast.Node) {
		number := m.next
		m.next += len(k.mutants)
		if m.skip[number] {
			return
		}
		p := fset.Position(at)
		for i, name := range k.mutants {
			m.mutants = append(m.mutants, mutant{number + i, name, filepath.Base(path), p.Line, p.Column})
		}
		c.Replace(to(func(args ...ast.Expr) ast.Expr {
			first := &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(number)}
			return &ast.CallExpr{Fun: ast.NewIdent(k.function), Args: append([]ast.Expr{first}, args...)}
		}))
	}
	astutil.Apply(f, outsideConstants, func(c *astutil.Cursor) bool {
		switch n := c.Node().(type) {
		case *ast.BinaryExpr:
			switch k, l := binary[n.Op], logical[n.Op]; {
			case n.Op == token.EQL || n.Op == token.NEQ:
				change(c, negation, n.OpPos, func(call func(...ast.Expr) ast.Expr) ast.Node { return call(n) })
			case l.function != "":
				change(c, l, n.OpPos, func(call func(...ast.Expr) ast.Expr) ast.Node { return call(n.X, lazy(n.Y)) })
			case k.function != "":
				change(c, k, n.OpPos, func(call func(...ast.Expr) ast.Expr) ast.Node { return call(n.X, n.Y) })
			}
		case *ast.UnaryExpr:
			if n.Op == token.SUB {
				change(c, minus, n.OpPos, func(call func(...ast.Expr) ast.Expr) ast.Node { return call(n.X) })
			}
		case *ast.IncDecStmt:
			change(c, step[n.Tok], n.TokPos, func(call func(...ast.Expr) ast.Expr) ast.Node {
				return &ast.AssignStmt{Lhs: []ast.Expr{n.X}, Tok: token.ADD_ASSIGN, Rhs: []ast.Expr{call()}}
			})
		case *ast.AssignStmt:
			if k := assign[n.Tok]; k.function != "" {
				change(c, k, n.TokPos, func(call func(...ast.Expr) ast.Expr) ast.Node {
					return &ast.AssignStmt{Lhs: n.Lhs, Tok: token.ASSIGN, Rhs: []ast.Expr{call(n.Lhs[0], n.Rhs[0])}}
				})
			}
		case *ast.BranchStmt:
			if n.Label == nil && other[n.Tok] != 0 {
				change(c, loop, n.TokPos, func(call func(...ast.Expr) ast.Expr) ast.Node {
					return &ast.IfStmt{Cond: call(), Body: block(&ast.BranchStmt{Tok: other[n.Tok]}), Else: block(&ast.BranchStmt{Tok: n.Tok})}
				})
			}
		}
		return true
	})
	f.Comments = nil // their places are no longer theirs
	var b bytes.Buffer
	err = format.Node(&b, token.NewFileSet(), f)
	return b.Bytes(), err
}

// outsideConstants tells whether to look into a node: a constant must stay one.
func outsideConstants(c *astutil.Cursor) bool {
	d, ok := c.Node().(*ast.GenDecl)
	return !ok || d.Tok == token.VAR
}

func block(s ast.Stmt) *ast.BlockStmt { return &ast.BlockStmt{List: []ast.Stmt{s}} }

// lazy is func() bool { return x }.
func lazy(x ast.Expr) ast.Expr {
	result := &ast.FieldList{List: []*ast.Field{{Type: ast.NewIdent("bool")}}}
	return &ast.FuncLit{Type: &ast.FuncType{Params: &ast.FieldList{}, Results: result}, Body: block(&ast.ReturnStmt{Results: []ast.Expr{x}})}
}
