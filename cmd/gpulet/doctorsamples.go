package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/gpu"
)

const (
	// oldSet is three of the longest periods that can be configured: an older set means that sampling stands still.
	oldSet = 30 * time.Second
	// youngClaim is how long a claim may be without its pod, and a pod without its series.
	youngClaim = 15 * time.Second
)

// source: does what measures the GPUs answer?
func (m chain) source() (out []finding) {
	s := m.status.Metrics
	if s.Off {
		return []finding{{fail, "nothing is measured: metrics.source is off", "set metrics.source to auto"}}
	}
	for _, src := range s.Sources {
		if src.Name != "nvml" && src.Name != "dcgm" {
			continue
		}
		verdict, todo := warn, "the metrics that only it has are missing; gpulet status names them"
		switch {
		case src.State == "ok":
			out = append(out, finding{ok, src.Name + " answers", ""})
			continue
		case src.State == "unused":
			out = append(out, finding{ok, src.Name + " is not used: " + src.Reason, ""})
			continue
		case src.Name == "nvml":
			verdict, todo = fail, "gpulet doctor looks at the driver; dmesg has the kernel module's messages"
		case s.Source == exporter.OnlyDCGM:
			verdict, todo = fail, "install libdcgm.so.4 or start the host engine: see metrics.dcgm; or set metrics.source to auto"
		}
		out = append(out, finding{verdict, src.Name + " gives nothing: " + src.Reason, todo})
	}
	if len(out) == 0 {
		out = append(out, finding{fail, "no source was asked yet", "wait some seconds; then gpulet status says more"})
	}
	return out
}

// sampler: is what a scrape gets new, and of all GPUs?
func (m chain) sampler() (out []finding) {
	s := m.status.Metrics
	age := m.status.Now.Sub(s.At)
	switch {
	case s.Off:
		return []finding{{warn, "it has nothing to do", ""}}
	case s.At.IsZero():
		return []finding{{fail, "nothing was measured yet", "wait some seconds; then the agent's log says why"}}
	case age > oldSet:
		return []finding{{fail, fmt.Sprintf("the newest measurements are %s old", age.Round(time.Second)), "see the agent's log, and restart it: its sampler stands still"}}
	}
	up := 0
	for _, g := range s.GPUs {
		if g.Up {
			up++
			continue
		}
		out = append(out, finding{warn, fmt.Sprintf("GPU %d is not measured: %s", g.Index, g.Reason), fmt.Sprintf("gpulet explain %d says more; its series ended", g.Index)})
	}
	if up == 0 {
		for i := range out {
			out[i].verdict = fail
		}
		return append(out, finding{fail, "no GPU is measured", "gpulet doctor looks at the driver"})
	}
	head := finding{ok, fmt.Sprintf("measurements of %s and their instances are %s old", count(up, "GPU"), age.Round(100*time.Millisecond)), ""}
	return append(append([]finding{head}, out...), absent(s.Absent)...)
}

// absent tells for each reason which metrics are not there. What this hardware does not have, or what did not happen, is as it should be.
func absent(all []exporter.AbsentStatus) (out []finding) {
	type why struct {
		code gpu.AbsenceCode
		text string
	}
	var order []why
	metrics := map[why][]string{}
	for _, a := range all {
		w := why{a.Reason, a.Text}
		if metrics[w] == nil {
			order = append(order, w)
		}
		name := a.Metric
		if a.Count < a.Of {
			name = fmt.Sprintf("%s (%d of %d)", name, a.Count, a.Of)
		}
		metrics[w] = append(metrics[w], name)
	}
	for _, w := range order {
		f := finding{warn, fmt.Sprintf("absent, as %s: %s", w.text, strings.Join(metrics[w], ", ")), "gpulet status -o json names the GPUs"}
		if slices.Contains([]gpu.AbsenceCode{gpu.NotSupported, gpu.NoFunction, gpu.NoData, gpu.NoSource}, w.code) {
			f.verdict, f.todo = ok, ""
		}
		out = append(out, f)
	}
	return out
}

// podresources: is it known which pod has which device?
func (m chain) podresources() (out []finding) {
	for _, src := range m.status.Metrics.Sources {
		if src.Name != "podresources" {
			continue
		}
		switch src.State {
		case "ok":
			out = append(out, finding{ok, "the kubelet tells which pod has which device", ""})
		case "unused":
			out = append(out, finding{warn, "it is not asked: " + src.Reason, "pods are known by the agent's own claims alone; set --kubelet-root to the kubelet's --root-dir"})
		default:
			out = append(out, finding{fail, src.Reason, "mount the kubelet's root folder, or set --kubelet-root to its --root-dir"})
		}
	}
	if len(out) == 0 && !m.status.Metrics.Off {
		out = append(out, finding{warn, "it was not asked yet", "wait some seconds"})
	}
	unknown := 0
	for _, c := range m.status.Claims {
		if c.Name == "" && m.status.Now.Sub(c.Opened) > youngClaim {
			unknown++
		}
	}
	if unknown > 0 {
		out = append(out, finding{warn, count(unknown, "device") + " held by pods that nobody names", "gpulet status lists them; the use is told without a pod"})
	}
	return out
}
