package main

import (
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/family"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// known are the containers that have devices for long enough to be measured, and whose pod is known.
func (m chain) known() (out []kubelet.Holding) {
	for _, c := range m.status.Claims {
		if c.Name != "" && m.status.Now.Sub(c.Opened) > youngClaim {
			out = append(out, c)
		}
	}
	return out
}

// labels: does each pod that has a device have its series?
func (m chain) labels() (out []finding) {
	pods := m.known()
	if len(pods) == 0 {
		return []finding{{ok, "no pod has a device for longer than " + youngClaim.String(), ""}}
	}
	well := 0
	for _, c := range pods {
		pod := c.Namespace + "/" + c.Name
		use := slices.Concat(m.ofField(family.GPUUtil), m.ofField(family.FBUsed))
		switch {
		case !slices.ContainsFunc(m.page["gpu_pod_info"].GetMetric(), m.isOf(c)):
			out = append(out, finding{fail, fmt.Sprintf("gpu_pod_info does not have %s, which has %s", pod, c.ID), "gpulet explain " + c.ID + " says whose the agent thinks it is"})
		case len(use) == 0: // a collectors file asks for neither
			well++
		case !slices.ContainsFunc(use, func(s series) bool { return m.isOf(c)(s.metric) }):
			out = append(out, finding{warn, "no series of use names " + pod, m.whyNoUse()})
		default:
			well++
		}
	}
	for _, s := range slices.Concat(m.ofField(family.GPUUtil), m.ofField(family.FBUsed)) {
		if wrong := m.impossible(s); wrong != "" {
			out = append(out, finding{fail, wrong, "autoscalers would misread it: report this page as an error"})
		}
	}
	if well > 0 {
		out = append([]finding{{ok, count(well, "container") + " with series of their own", ""}}, out...)
	}
	return out
}

// whyNoUse says what to look for when a pod's use has no series.
func (m chain) whyNoUse() string {
	for _, a := range m.status.Metrics.Absent {
		if a.Field == family.FBUsed || a.Field == family.GREngine {
			return "its device is not measured: " + a.Text
		}
	}
	return "on a shared GPU it has one once its processes are seen: set --proc-root to the host's /proc (hostPID), or see gpu_unattributed_memory_used_bytes"
}

// series is one of a DCGM field, in the unit of its name.
type series struct {
	name   string
	unit   string
	field  gpu.Field
	metric *dto.Metric
}

// ofField are a field's series under all names that the page has.
func (m chain) ofField(field gpu.Field) (out []series) {
	for name, f := range m.page {
		known, there := family.Lookup(name)
		if !there || known.Field != field {
			continue
		}
		unit := known.Unit
		if name != known.Classic {
			unit = known.LaterUnit
		}
		for _, metric := range f.GetMetric() {
			out = append(out, series{name, unit, field, metric})
		}
	}
	return out
}

// isOf tells the series of a container, however the labels are spelt.
func (m chain) isOf(c kubelet.Holding) func(*dto.Metric) bool {
	return func(s *dto.Metric) bool {
		return label(s, "pod", "pod_name") == c.Name && label(s, "namespace", "pod_namespace") == c.Namespace &&
			(c.Container == "" || label(s, "container", "container_name") == c.Container)
	}
}

// impossible says why a value cannot be in the unit of its name.
func (m chain) impossible(s series) string {
	value, most := s.metric.GetGauge().GetValue(), 0.0
	switch s.unit {
	case "%":
		most = 100
	case "MiB":
		for _, g := range m.status.GPUs {
			most = max(most, float64(g.MemoryBytes>>20))
		}
	}
	if most == 0 || value >= 0 && value <= most {
		return ""
	}
	return fmt.Sprintf("%s is %v, which is no number of %s", s.name, value, strings.ReplaceAll(s.unit, "%", "percent"))
}

// label is the first of these labels that a series has.
func label(s *dto.Metric, names ...string) string {
	for _, l := range s.GetLabel() {
		if slices.Contains(names, l.GetName()) && l.GetValue() != "" {
			return l.GetValue()
		}
	}
	return ""
}
