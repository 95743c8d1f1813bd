package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/partitioner/plan"
)

// maxReason is how long the part of one node in a reason is, in bytes; Events take 1,024 in all.
const maxReason = 500

// explain says why a pod fits on no node: the nearest node in full, the others by number.
func (p *Planner) explain(u *Unmet, near *Site, given []*Pod) string {
	var parts []string
	what := "what it asks for"
	left := maps.Clone(u.Nodes)
	if near != nil {
		reason := "its GPUs are promised to other pods"
		if r, err := DecodeReport(near.doc.Data); err == nil {
			in := plan.Input{Policy: r.Policy}
			for i := range r.GPUs {
				in.GPUs = append(in.GPUs, r.GPUs[i].GPU)
			}
			for _, q := range given {
				in.Demands = append(in.Demands, demandOf(near.vocabulary, q))
			}
			d := demandOf(near.vocabulary, &Pod{PendingPod: u.Pod})
			if d.Priority = -1 << 40; len(d.Asks) > 0 {
				what = asksText(d.Asks)
			}
			in.Demands = append(in.Demands, d)
			for _, x := range p.memory.planner.Plan(in).Unmet {
				if x.ID == d.ID {
					_, reason, _ = strings.Cut(x.Reason, ": ")
				}
			}
		}
		parts = append(parts, fmt.Sprintf("%s: %s", u.Near, clip(reason, maxReason)))
		left[CauseHeld]--
	}
	total, counts := 0, []string{}
	for _, cause := range slices.Sorted(maps.Keys(left)) {
		if n := left[cause]; n > 0 {
			total += n
			counts = append(counts, fmt.Sprintf("%d %s", n, cause.text()))
		}
	}
	if total > 0 {
		more := map[bool]string{true: " more", false: ""}[near != nil]
		parts = append(parts, fmt.Sprintf("%s%s: %s", plural(total, "node"), more, strings.Join(counts, ", ")))
	}
	if near != nil && !near.evict {
		parts = append(parts, "evicting pods of lower priority is off there")
	}
	return fmt.Sprintf("%s fits on no node: %s", what, strings.Join(parts, "; "))
}

func (c Cause) text() string {
	switch c {
	case CauseRules:
		return "not allowed by selectors, affinity or taints"
	case CauseSize:
		return "short of CPU, memory, pods or other resources"
	case CauseHeld:
		return "with no room on their GPUs"
	case CauseOff:
		return "serving no demand at the moment"
	case CauseStale:
		return "without a fresh report"
	case CauseNotReady:
		return "not ready or cordoned"
	case CauseForeign, CauseGiven, CauseLeaving, CauseNominated, CauseGated:
	}
	return string(c)
}

func asksText(asks []plan.Ask) string {
	var parts []string
	for _, a := range asks {
		name := a.Resource.Profile.String()
		if a.Resource.Whole() {
			name = "a whole GPU"
			if a.Count > 1 {
				name = "whole GPUs"
			}
		}
		if a.Count > 1 {
			name = fmt.Sprintf("%d x %s", a.Count, name)
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, " with ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clip shortens to whole characters.
func clip(s string, to int) string {
	if len(s) <= to {
		return s
	}
	for to -= len("…"); to > 0 && s[to]&0xC0 == 0x80; to-- {
	}
	return s[:to] + "…"
}
