package expose

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// pairs keeps one label pair for each name and value: a page repeats each of them many times.
type pairs map[[2]string]*dto.LabelPair

func (p pairs) get(name, value string) *dto.LabelPair {
	key := [2]string{name, value}
	pair := p[key]
	if pair == nil {
		pair = &dto.LabelPair{Name: &key[0], Value: &key[1]}
		p[key] = pair
	}
	return pair
}

// label is a name with a value.
type label struct{ name, value string }

// set makes a label set, sorted as the exposition formats want it. Of two labels with one name the first stays.
func (p pairs) set(labels ...label) []*dto.LabelPair {
	out := make([]*dto.LabelPair, 0, len(labels))
	for _, l := range labels {
		if !slices.ContainsFunc(out, func(o *dto.LabelPair) bool { return o.GetName() == l.name }) {
			out = append(out, p.get(l.name, clean(l.value)))
		}
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// clean makes valid UTF-8 of a value that came from outside: one bad byte would cost the whole page.
func clean(value string) string { return strings.ToValidUTF8(value, "\uFFFD") }
