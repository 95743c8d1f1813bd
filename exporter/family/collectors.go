package family

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is what is to be said of one line of a collectors file.
type Problem struct {
	File string
	// Line counts from 1.
	Line int
	Text string
}

func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// CollectorsError is all that is wrong with a collectors file, in the order of its lines.
type CollectorsError []Problem

func (e CollectorsError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ParseCollectors reads a collectors file of dcgm-exporter: on each line a field, a type and a help text, parted by commas.
// name is the file's name for messages. Warnings are about lines that dcgm-exporter takes and gpulet serves otherwise or not
// at all; the error is a CollectorsError with every line that is wrong.
func ParseCollectors(name string, data []byte) ([]Selected, []Problem, error) {
	p := parser{name: name, index: newIndex(), seen: map[uint16]int{}}
	text := strings.TrimPrefix(string(data), "\ufeff")
	for line := range strings.Lines(text) {
		p.line++
		p.parse(strings.TrimSpace(line))
	}
	if len(p.selected) == 0 && len(p.errors) == 0 {
		p.errors = append(p.errors, Problem{File: name, Line: max(p.line, 1), Text: "no field is named: want lines of `field, type, help`"})
	}
	if len(p.errors) > 0 {
		return nil, p.warnings, p.errors
	}
	return p.selected, p.warnings, nil
}

type parser struct {
	name     string
	index    index
	line     int
	seen     map[uint16]int // field to its line
	selected []Selected
	warnings []Problem
	errors   CollectorsError
}

func (p *parser) wrong(format string, args ...any) {
	p.errors = append(p.errors, Problem{File: p.name, Line: p.line, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) warn(format string, args ...any) {
	p.warnings = append(p.warnings, Problem{File: p.name, Line: p.line, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) parse(line string) {
	columns, ok := p.columns(line)
	if !ok {
		return
	}
	field, kind, help := columns[0], columns[1], columns[2]
	types := []string{"gauge", "counter", "histogram", "summary", "label"}
	if !slices.Contains(types, kind) {
		p.wrong("%s: %q is no type: want %s", field, kind, strings.Join(types, ", "))
		return
	}
	if text, ok := ownInstead(field); ok {
		p.warn("%s: %s", field, text)
		return
	}
	k, ok := p.index[field]
	switch {
	case ok && k.of != "":
		p.warn("%s: it is of %s, which gpulet does not measure: not exported", field, k.of)
	case ok:
		p.add(field, k, Type(kind), help)
	default:
		if near := p.index.nearest(field); near != "" {
			p.wrong("%q is no field of DCGM: did you mean %s?", field, near)
			return
		}
		p.wrong("%q is no field of DCGM: docs/metrics.md lists those that gpulet knows", field)
	}
}

// columns are the three of a line; false for comments, empty lines and lines that are wrong.
func (p *parser) columns(line string) ([]string, bool) {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil, false
	}
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = -1, true, true
	columns, err := r.Read()
	if err != nil {
		if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
			err = parse.Err // without its own line number
		}
		p.wrong("%v", err)
		return nil, false
	}
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	switch {
	case strings.Join(columns, "") == "" || strings.HasPrefix(columns[0], "#"):
		return nil, false
	case len(columns) > 3:
		p.wrong("%s: %d columns, want 3: field, type, help; a help text with a comma needs quotes", columns[0], len(columns))
		return nil, false
	case len(columns) < 3:
		p.wrong("%s: want 3 columns: field, type, help", columns[0])
		return nil, false
	}
	return columns, true
}

func (p *parser) add(name string, f known, kind Type, help string) {
	if before, ok := p.seen[uint16(f.Field)]; ok {
		p.warn("%s: the field is already on line %d, which holds", name, before)
		return
	}
	p.seen[uint16(f.Field)] = p.line
	switch {
	case !strings.HasPrefix(name, "DCGM_"):
		p.warn("%s: a name of dcgm-exporter 1.x: exported as %s", name, f.Classic)
	case name != f.Classic && name == f.Later:
		p.warn("%s: exported under this name in the profile dcgm47 or both, as %s in classic", name, f.Classic)
	case name != f.Classic:
		p.warn("%s: exported as %s", name, f.Classic)
	}
	s := Selected{Family: f.Family, Type: kind, Help: help}
	switch {
	case f.Type == Label && kind != Label:
		p.warn("%s: it is a text and no number: exported as a label", name)
		s.Type = Label
	case kind == Label && f.Type != Label && !f.outside:
		p.warn("%s: it is a number, whose label would make a new series at each change: exported as a %s", name, f.Type)
		s.Type = f.Type
	case kind != Label && kind != Gauge && kind != Counter:
		p.warn("%s: it has one value and no %s: exported as a %s", name, kind, f.Type)
		s.Type = f.Type
	}
	if s.Help == "" {
		s.Help = f.Help
	}
	p.selected = append(p.selected, s)
}

// ownInstead says which family of gpulet's own tells what a family that dcgm-exporter makes itself tells.
func ownInstead(name string) (string, bool) {
	switch name {
	case "DCGM_EXP_XID_ERRORS_COUNT":
		return "not exported: gpu_xid_errors_total counts XIDs, and never falls back", true
	case "DCGM_EXP_CLOCK_EVENTS_COUNT":
		return "not exported: gpu_throttle_seconds_total tells for how long clocks were held down, and why", true
	case "DCGM_EXP_GPU_HEALTH_STATUS":
		return "not exported: gpu_health tells the state of health with its reason", true
	case "DCGM_EXP_P2P_STATUS":
		return "not exported: gpulet does not measure peer-to-peer links", true
	}
	return "", false
}
