package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kinds of origins, in the order of precedence.
const (
	FromDefault = "default"
	FromFile    = "file"
	FromEnv     = "environment"
	FromFlag    = "flag"
)

// Origin is where a value was set.
type Origin struct {
	From string `json:"from"`
	// Name is that of the file, the variable or the flag.
	Name string `json:"name,omitempty"`
	// Line and Column count from 1; 0 outside files.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

func (o Origin) String() string {
	switch o.From {
	case FromFile:
		if o.Line == 0 {
			return o.Name
		}
		return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Column)
	case FromEnv:
		return "environment " + o.Name
	case FromFlag:
		return "flag --" + o.Name
	}
	return o.From
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Origin Origin
	// Path is the key, such as gpus[0].sharing["nvidia.com/gpu"].replicas; empty when the file as a whole is wrong.
	Path string
	Text string
}

func (p Problem) String() string {
	parts := []string{p.Origin.String()}
	if p.Path != "" {
		parts = append(parts, p.Path)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// ProblemsError is the error of a configuration: all that is wrong with it, in the order of the file, then flags and environment.
type ProblemsError []Problem

func (p ProblemsError) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// err is nil when there is no problem.
func (p ProblemsError) err() error {
	if len(p) == 0 {
		return nil
	}
	rank := func(o Origin) int { return slices.Index([]string{FromFile, FromEnv, FromFlag}, o.From) }
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank(a.Origin), rank(b.Origin)), cmp.Compare(a.Origin.Line, b.Origin.Line),
			cmp.Compare(a.Origin.Column, b.Origin.Column), strings.Compare(a.Path, b.Path),
		)
	})
	return p
}

// wanted says what would have been right: the nearest of some words, or all of them.
func wanted(got string, words []string) string {
	if near := nearest(got, words); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(words) == 0 {
		return "nothing belongs here"
	}
	return "want one of " + strings.Join(words, ", ")
}

// nearest is the word that a typing error away from got; empty when none is near.
func nearest(got string, words []string) string {
	best, most := "", max(2, len(got)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(got), strings.ToLower(w)); d < most && d < len(w) {
			best, most = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours from a to b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y))
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
		for j := range rows[i] {
			switch {
			case i == 0:
				rows[i][j] = j
			case j > 0:
				same := 1
				if x[i-1] == y[j-1] {
					same = 0
				}
				rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
				if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
					rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
				}
			}
		}
	}
	return rows[len(x)][len(y)]
}
