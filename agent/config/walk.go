package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What bounds a file: bytes, brackets within each other, values (aliases count each time), and the problems that are told.
const (
	MaxFile     = 64 << 10
	maxDepth    = 64
	maxValues   = 20_000
	maxProblems = 100
)

// walker goes through a file along the table: it checks, sets and remembers where everything stands.
type walker struct {
	file     string
	config   *Config
	lines    *lines
	problems ProblemsError
	anchors  anchors
	open     map[string]bool // aliases that are being followed
	count    int             // values so far
}

// anchors are the values that aliases can name.
type anchors map[string]ast.Node

// walkFile reads a file into config. What is wrong ends up in problems; the rest is set.
func (w *walker) walkFile(data []byte) {
	start := Origin{From: FromFile, Name: w.file, Line: 1, Column: 1}
	if len(data) > MaxFile {
		w.problem(start, "", fmt.Sprintf("the file has more than %d KiB", MaxFile>>10))
		return
	}
	if deep(data) {
		w.problem(start, "", fmt.Sprintf("the file nests more than %d deep", maxDepth))
		return
	}
	f, err := parse(data)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) {
			w.fail(at.GetToken(), nil, "this is not YAML: %s", at.GetMessage())
		} else {
			w.problem(start, "", "this is not YAML: "+err.Error())
		}
		return
	}
	var docs []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	switch {
	case len(docs) == 0:
		w.problem(start, "version", "it is missing: a file begins with `version: "+Version+"`")
	case len(docs) > 1:
		w.fail(first(docs[1], docs[1].GetToken()), nil, "a second document begins here: want one")
	default:
		w.walk(docs[0], tree(), nil, nil, spot{})
	}
}

// deep finds what costs the YAML library time and memory without bound. Brackets in texts count too, as long as they have no
// partner.
func deep(data []byte) bool {
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}

// parse keeps a panic of the YAML library, which reads what users write, from ending the agent.
func parse(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the reader gave up: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

func (w *walker) origin(t *token.Token) Origin {
	o := Origin{From: FromFile, Name: w.file, Line: 1, Column: 1}
	if t != nil && t.Position != nil {
		o.Line, o.Column = max(t.Position.Line, 1), max(t.Position.Column, 1)
	}
	return o
}

func (w *walker) fail(t *token.Token, path route, format string, args ...any) {
	w.problem(w.origin(t), path.String(), fmt.Sprintf(format, args...))
}

// problem takes a problem down; a file that is wrong all over ends with a remark.
func (w *walker) problem(o Origin, path, text string) {
	switch n := len(w.problems); {
	case n < maxProblems:
		w.problems = append(w.problems, Problem{o, path, text})
	case n == maxProblems:
		w.problems = append(w.problems, Problem{o, "", "there is more; correct the others first"})
	}
}

// walk reads one value; key is the token of its key, nil for entries of lists.
func (w *walker) walk(n ast.Node, b *branch, path route, key *token.Token, at spot) {
	n, ok := w.resolve(n, path)
	if !ok {
		return
	}
	if b.row.set != nil && b.row.Kind == Group {
		b.row.set(w.config, at, nil)
	}
	place := n.GetToken()
	if key != nil {
		place = key
	}
	switch {
	case b.row.Kind != Group:
		w.leaf(n, b, path, place, at)
	case n.Type() == ast.NullType:
		w.fail(place, path, "it has no value; leave the key out or give one")
	case b.each != nil:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			w.fail(n.GetToken(), path, "want a list, got %s", kindOf(n))
			return
		}
		w.lines.mark(path, w.origin(place))
		for i, v := range list.Values {
			at.rule = i
			w.walk(v, b.each, path.to(i), nil, at)
		}
	default:
		w.mapping(n, b, path, place, at)
	}
}

// mapping reads a group with named or free keys.
func (w *walker) mapping(n ast.Node, b *branch, path route, place *token.Token, at spot) {
	m, ok := n.(ast.MapNode)
	if !ok {
		w.fail(n.GetToken(), path, "want keys and values, got %s", kindOf(n))
		return
	}
	w.lines.mark(path, w.origin(first(n, place)))
	seen := map[string]*token.Token{}
	for it := m.MapRange(); it.Next(); {
		key := it.Key()
		name, ok := keyName(key)
		if !ok {
			w.fail(key.GetToken(), path, "want a plain key here")
			continue
		}
		if before := seen[name]; before != nil {
			w.fail(key.GetToken(), path.to(name), "it is there twice, the first time in line %d", before.Position.Line)
			continue
		}
		seen[name] = key.GetToken()
		child, inner := b.kid(name), at
		if b.other != nil {
			child, inner.key = b.other, name
			if err := child.row.keys(name); err != nil {
				w.fail(key.GetToken(), path, "%v", err)
				continue
			}
		}
		if child == nil {
			w.fail(key.GetToken(), path.to(name), "there is no such key; %s", wanted(name, b.names()))
			continue
		}
		w.walk(it.Value(), child, path.to(name), key.GetToken(), inner)
	}
	for _, kid := range b.kids {
		if kid.row.Required && seen[kid.name()] == nil {
			w.fail(first(n, place), path.to(kid.name()), "it is missing")
		}
	}
}

// first is where a group begins for people: at its key, or at its first key.
func first(n ast.Node, place *token.Token) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && place == n.GetToken() && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return place
}

// leaf reads a value or a list of values.
func (w *walker) leaf(n ast.Node, b *branch, path route, place *token.Token, at spot) {
	s := &b.row
	nodes := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		if !s.Kind.list() {
			w.fail(n.GetToken(), path, "want one %s, got a list", s.Kind)
			return
		}
		nodes = list.Values
	}
	var v values
	good := true
	for _, e := range nodes {
		e, ok := w.resolve(e, path)
		if !ok {
			good = false
			continue
		}
		text, err := scalar(s, e)
		if err == nil {
			err = s.check(text)
		}
		if err != nil {
			good = false
			w.fail(e.GetToken(), path, "%v", err)
		}
		v = append(v, text)
	}
	if !good {
		return
	}
	s.set(w.config, at, v)
	w.lines.put(Line{Path: path.String(), route: path, Value: strings.Join(v, ","), Origin: w.origin(place), values: v, Setting: *s})
}

// resolve follows anchors and aliases.
func (w *walker) resolve(n ast.Node, path route) (ast.Node, bool) {
	if w.count++; w.count > maxValues {
		if w.count == maxValues+1 {
			w.fail(n.GetToken(), path, "the file holds more than %d values", maxValues)
		}
		return nil, false
	}
	switch t := n.(type) {
	case *ast.AnchorNode:
		w.anchors[t.Name.GetToken().Value] = t.Value
		return w.resolve(t.Value, path)
	case *ast.AliasNode:
		name := t.Value.GetToken().Value
		to := w.anchors[name]
		if to == nil || w.open[name] {
			w.fail(n.GetToken(), path, "there is no anchor &%s before this", name)
			return nil, false
		}
		w.open[name] = true
		defer delete(w.open, name)
		return w.resolve(to, path)
	case *ast.TagNode:
		w.fail(n.GetToken(), path, "tags such as %s are not understood here", t.Start.Value)
		return nil, false
	case nil:
		return nil, false
	}
	return n, true
}

// keyName is the text of a key.
func keyName(k ast.MapKeyNode) (string, bool) {
	switch t := k.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode, *ast.NullNode:
		return k.GetToken().Value, true
	}
	return "", false
}
