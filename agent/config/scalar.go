package config

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// scalar is the text of a value if it is of the right type.
func scalar(s *Setting, n ast.Node) (string, error) {
	if n.Type() == ast.NullType {
		return "", errors.New("it has no value; leave the key out or give one")
	}
	wrong := fmt.Errorf("want %s, got %s", article(s.Kind), kindOf(n))
	switch t := n.(type) {
	case *ast.StringNode:
		if s.Kind == Bool || s.Kind == Int || s.Kind == Ints || s.Kind == Number {
			return "", fmt.Errorf("want %s, got the text %q", article(s.Kind), t.Value)
		}
		return t.Value, nil
	case *ast.LiteralNode:
		if s.Kind != Text && s.Kind != Texts {
			return "", wrong
		}
		return t.Value.Value, nil
	case *ast.IntegerNode:
		switch s.Kind {
		case Int, Ints, Number:
			return fmt.Sprint(t.Value), nil
		case Duration:
			return "", fmt.Errorf("want a duration with its unit such as %vs, got a number", t.Value)
		case Text, Texts:
			return "", errors.New("want a text, got a number; put it into quotes")
		default:
			return "", wrong
		}
	case *ast.FloatNode:
		if s.Kind == Number {
			return t.Token.Value, nil
		}
	case *ast.BoolNode:
		if s.Kind == Bool {
			return strconv.FormatBool(t.Value), nil
		}
	}
	return "", wrong
}

func article(k Kind) string {
	switch k {
	case Bool:
		return "true or false"
	case Int, Ints:
		return "a whole number"
	case Number:
		return "a number"
	case Duration:
		return "a duration such as 30s"
	case Enum, Enums:
		return "a word"
	default:
		return "a text"
	}
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}
