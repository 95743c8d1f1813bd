package parted

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What bounds a file: bytes, brackets within each other, values (an alias counts each time).
const (
	MaxFile   = 256 << 10
	maxDepth  = 32
	maxValues = 50_000
)

// reader goes through the YAML of a file and takes down what is wrong with it.
type reader struct {
	file     string
	problems ProblemsError
	anchors  map[string]ast.Node
	open     map[string]bool // aliases that are being followed
	values   int
}

// pair is a key of a mapping with its value.
type pair struct {
	key   string
	at    *token.Token
	value ast.Node
}

func (r *reader) fail(t *token.Token, field, format string, args ...any) {
	p := Problem{File: r.file, Field: field, Text: fmt.Sprintf(format, args...)}
	if t != nil && t.Position != nil {
		p.Line = max(t.Position.Line, 1)
	}
	r.problems = append(r.problems, p)
}

// root parses a file of one document; nil when there is nothing to go through.
func (r *reader) root(data []byte) ast.Node {
	switch {
	case len(data) > MaxFile:
		r.fail(nil, "", "the file has more than %d KiB", MaxFile>>10)
		return nil
	case deep(data):
		r.fail(nil, "", "the file nests more than %d deep", maxDepth)
		return nil
	}
	f, err := parse(data)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) {
			r.fail(at.GetToken(), "", "this is not YAML: %s", at.GetMessage())
		} else {
			r.fail(nil, "", "this is not YAML: %v", err)
		}
		return nil
	}
	var docs []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) == 0 {
		r.fail(nil, "version", "it is missing: a file begins with `version: "+version+"`")
		return nil
	}
	if len(docs) > 1 {
		r.fail(docs[1].GetToken(), "", "a second document begins here: want one")
		return nil
	}
	return docs[0]
}

// parse keeps a panic of the YAML library from ending the agent: it reads what users write.
func parse(data []byte) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the reader gave up: %v", p)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// deep finds nesting for which the YAML library would need time and memory without bound.
func deep(data []byte) bool {
	depth, dashes := 0, 0
	for i, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '\n':
			dashes = 0
		case '-', '?', ':':
			if i+1 < len(data) && data[i+1] == ' ' {
				dashes++
			}
		}
		if depth > maxDepth || dashes > maxDepth {
			return true
		}
	}
	return false
}

// resolve follows anchors and aliases; nil when it was a problem.
func (r *reader) resolve(n ast.Node, field string) ast.Node {
	if r.values++; r.values > maxValues {
		if r.values == maxValues+1 {
			r.fail(nil, "", "the file holds more than %d values", maxValues)
		}
		return nil
	}
	switch t := n.(type) {
	case *ast.AnchorNode:
		r.anchors[t.Name.GetToken().Value] = t.Value
		return r.resolve(t.Value, field)
	case *ast.AliasNode:
		name := t.Value.GetToken().Value
		to := r.anchors[name]
		if to == nil || r.open[name] {
			r.fail(n.GetToken(), field, "there is no anchor &%s before this", name)
			return nil
		}
		r.open[name] = true
		defer delete(r.open, name)
		return r.resolve(to, field)
	case *ast.TagNode:
		r.fail(n.GetToken(), field, "tags such as %s are not understood here", t.Start.Value)
		return nil
	}
	return n
}

// pairs are the keys of a mapping in the order of the file; false when it is none. What `<<` brings comes last and overrides nothing.
func (r *reader) pairs(n ast.Node, field string) (out []pair, ok bool) {
	m, ok := n.(ast.MapNode)
	if !ok {
		r.fail(n.GetToken(), field, "want keys and values, got %s", kindOf(n))
		return nil, false
	}
	seen := map[string]*token.Token{}
	var merged []ast.Node
	for it := m.MapRange(); it.Next(); {
		k := it.Key()
		if k.IsMergeKey() {
			merged = append(merged, it.Value())
			continue
		}
		name, ok := keyName(k)
		if !ok {
			r.fail(k.GetToken(), field, "want a plain key here")
			continue
		}
		if before := seen[name]; before != nil {
			r.fail(k.GetToken(), field, "%q is there twice, the first time in line %d", name, before.Position.Line)
			continue
		}
		seen[name] = k.GetToken()
		out = append(out, pair{name, k.GetToken(), it.Value()})
	}
	for _, v := range merged {
		n := r.resolve(v, field)
		if n == nil {
			continue
		}
		more, _ := r.pairs(n, field)
		for _, p := range more {
			if seen[p.key] == nil {
				seen[p.key] = p.at
				out = append(out, p)
			}
		}
	}
	return out, true
}

// known are the pairs of a mapping whose keys are known; an unknown one is a problem.
func (r *reader) known(n ast.Node, field string, names ...string) (map[string]pair, bool) {
	pairs, ok := r.pairs(n, field)
	out := map[string]pair{}
	for _, p := range pairs {
		if !slices.Contains(names, p.key) {
			r.fail(p.at, join(field, p.key), "there is no such field; %s", wanted(p.key, names))
			continue
		}
		out[p.key] = p
	}
	return out, ok
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
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

func kindOf(n ast.Node) string {
	switch t := n.(type) {
	case ast.MapNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("%q", t.Value)
	case *ast.LiteralNode:
		return "a text of several lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode, *ast.BoolNode:
		return n.GetToken().Value
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}
