package main

import (
	"fmt"
	"strings"

	"github.com/gpulet/gpulet/agent"
)

// metrics writes how measuring goes: the sources, and of each metric that is absent why.
func (p *page) metrics(s agent.Status) {
	m := s.Metrics
	var sources, absent [][]string
	for _, x := range m.Sources {
		last := ""
		if !x.Last.IsZero() {
			last = p.ago(x.Last) + " ago"
		}
		sources = append(sources, []string{x.Name, x.State, last, x.Reason})
	}
	for _, g := range m.GPUs {
		if !g.Up {
			sources = append(sources, []string{fmt.Sprintf("GPU %d", g.Index), "not measured", "", g.Reason})
		}
	}
	for _, a := range m.Absent {
		where := "everywhere"
		if a.Count < a.Of {
			where = strings.Join(a.First, ", ")
			if more := a.Count - len(a.First); more > 0 {
				where += fmt.Sprintf(" and %d more", more)
			}
		}
		absent = append(absent, []string{a.Metric, where, string(a.Reason), a.Text})
	}
	var rests [][]string
	for _, r := range m.Rests {
		rests = append(rests, []string{r.Of, fmt.Sprintf("%.0f %%", 100*r.Utilization), fmt.Sprintf("%.1f GiB", r.MemoryBytes/(1<<30)), r.Why})
	}
	if m.Off {
		sources = append(sources, []string{"GPUs", "off", "", "metrics.source is off"})
	}
	p.section("MEASURED FROM", []string{"SOURCE", "STATE", "LAST", "WHY"}, sources)
	p.section("METRICS THAT ARE ABSENT", []string{"METRIC", "WHERE", "REASON", "WHY"}, absent)
	p.section("USED BY NO POD", []string{"WHAT", "TIME", "MEMORY", "WHY"}, rests)
}
