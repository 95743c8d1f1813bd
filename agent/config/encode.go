package config

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
)

// File is a configuration file that gives these settings by itself.
func (r Resolved) File() ([]byte, error) {
	root := &entry{}
	root.put(route{"version"}, Version)
	for _, l := range r.Lines {
		if l.route == nil || l.Setting.Key == "version" {
			continue
		}
		if l.Setting.Kind.list() && len(l.values) == 0 {
			continue // an empty list is what it is without the key
		}
		root.put(l.route, l.typed())
	}
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b, yaml.IndentSequence(true)).Encode(root.plain()); err != nil {
		return nil, fmt.Errorf("encode the configuration: %w", err)
	}
	return b.Bytes(), nil
}

// typed is the value as YAML has it.
func (l Line) typed() any {
	switch l.Setting.Kind {
	case Bool:
		return l.values.bool()
	case Int:
		return l.values.int()
	case Number:
		return l.values.number()
	case Ints:
		return l.values.numbers()
	case Texts, Enums:
		return []string(l.values)
	default:
		return l.values.text()
	}
}

// entry is a value, or what is below it in order.
type entry struct {
	step  any
	value any
	below []*entry
}

func (e *entry) put(r route, value any) {
	if len(r) == 0 {
		e.value = value
		return
	}
	i := slices.IndexFunc(e.below, func(b *entry) bool { return b.step == r[0] })
	if i < 0 {
		i = len(e.below)
		e.below = append(e.below, &entry{step: r[0]})
	}
	e.below[i].put(r[1:], value)
}

// plain turns entries into lists and ordered maps.
func (e *entry) plain() any {
	if len(e.below) == 0 {
		if e.value == nil {
			return yaml.MapSlice{}
		}
		return e.value
	}
	if _, list := e.below[0].step.(int); list {
		var out []any
		for _, b := range e.below {
			out = append(out, b.plain())
		}
		return out
	}
	var out yaml.MapSlice
	for _, b := range e.below {
		out = append(out, yaml.MapItem{Key: b.step, Value: b.plain()})
	}
	return out
}
