package parted

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems of a file are told.
const maxProblems = 50

// Problem is one thing that is wrong with a file, or with a configuration of it on the GPUs of a node.
type Problem struct {
	// File and Line are where; Line counts from 1 and is 0 for the file as a whole. File is empty for what was made from the hardware.
	File string
	Line int
	// Field is the key, such as mig-configs["all-1g.5gb"][0].mig-devices; empty for the file as a whole.
	Field string
	Text  string
}

func (p Problem) String() string {
	where := p.File
	switch {
	case where == "":
		where = "made from the hardware"
	case p.Line > 0:
		where = fmt.Sprintf("%s:%d", where, p.Line)
	}
	if p.Field != "" {
		where += ": " + p.Field
	}
	return where + ": " + p.Text
}

// ProblemsError is all that is wrong, in the order of the file.
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
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	if len(p) > maxProblems {
		p = append(p[:maxProblems:maxProblems], Problem{File: p[0].File, Text: "there is more; correct the others first"})
	}
	return p
}

// wanted says what would have been right: the nearest word, and all of them.
func wanted(got string, words []string) string {
	all := "nothing belongs here"
	if len(words) > 0 {
		all = "valid are " + strings.Join(words, ", ")
	}
	if near := nearest(got, words); near != "" {
		return fmt.Sprintf("did you mean %q? %s", near, all)
	}
	return all
}

// nearest is the word that a typing error or two away from got; empty when none is near.
func nearest(got string, words []string) (best string) {
	least := max(2, len(got)/3) + 1
	for _, w := range words {
		if d := distance(got, w); d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements that lead from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
