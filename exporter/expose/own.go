package expose

import (
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/gpulet/gpulet/exporter/sample"
)

// emitters says how each of gpulet's own families is written. Which of them there are, and with which labels, the table says.
func emitters() map[string]func(*page, *column) {
	return map[string]func(*page, *column){
		"gpu_up":                                    (*page).up,
		"gpu_info":                                  (*page).info,
		"gpu_health":                                (*page).health,
		"gpu_recovery_action":                       (*page).recovery,
		"gpu_utilization_window_max_ratio":          (*page).utilizationWindows,
		"gpu_power_window_max_watts":                (*page).powerWindows,
		"gpu_memory_used_window_max_bytes":          (*page).memoryWindows,
		"gpu_throttle_seconds_total":                (*page).throttle,
		"gpu_energy_joules_total":                   (*page).energy,
		"gpu_pod_info":                              (*page).podInfo,
		"gpu_pod_utilization_ratio":                 (*page).podUtilization,
		"gpu_pod_memory_used_bytes":                 (*page).podMemory,
		"gpu_unattributed_utilization_ratio":        (*page).restUtilization,
		"gpu_unattributed_memory_used_bytes":        (*page).restMemory,
		"gpu_allocated_seconds_total":               (*page).allocated,
		"gpu_idle_allocated_seconds_total":          (*page).idle,
		"gpu_cost_dollars_total":                    (*page).cost,
		"gpu_xid_errors_total":                      (*page).xids,
		"gpu_xid_last_timestamp_seconds":            (*page).xidTimes,
		"gpu_field_unavailable":                     (*page).unavailable,
		"gpu_source_up":                             (*page).sourceUp,
		"gpu_source_last_success_timestamp_seconds": (*page).sourceLast,
		"gpu_source_duration_seconds":               (*page).sourceDuration,
		"gpu_source_errors_total":                   (*page).sourceErrors,
		"gpu_source_stale_values_total":             (*page).sourceStale,
		"gpu_source_restarts_total":                 (*page).sourceRestarts,
	}
}

// about is what a series of an own family is about: its labels are found by their names in the table.
type about struct {
	device    *entity
	container *sample.Container
	// more are the labels that are neither of a device nor of a container, by name and value.
	more [3]label
}

func (a about) with(name, value string) about {
	for i := range a.more {
		if a.more[i].name == "" {
			a.more[i] = label{name, value}
			break
		}
	}
	return a
}

func (a about) value(name string) string {
	for _, l := range a.more {
		if l.name == name {
			return clean(l.value)
		}
	}
	if a.device != nil {
		switch name {
		case "gpu":
			return a.device.index
		case "UUID":
			return clean(string(a.device.id.GPU))
		case "GPU_I_PROFILE":
			return a.device.profile
		case "GPU_I_ID":
			return a.device.instance
		case "pci_bus_id":
			return clean(busID(a.device.gpu.PCI))
		case "device":
			return "nvidia" + a.device.index
		case "model":
			return clean(a.device.gpu.Model)
		}
	}
	if a.container != nil {
		switch name {
		case "namespace":
			return clean(a.container.Namespace)
		case "pod":
			return clean(a.container.Pod)
		case "container":
			return clean(a.container.Container)
		case "pod_uid":
			return clean(string(a.container.UID))
		}
	}
	return ""
}

// series finds the label set that the table gives a family for what it is about.
func (p *page) series(c *column, a about) *series {
	key := p.scratch[:0]
	for _, name := range c.labels {
		key = append(append(key, a.value(name)...), 0xff) // no byte of UTF-8
	}
	p.scratch = key
	s := c.series[string(key)]
	if s == nil {
		labels := make([]label, 0, len(c.labels))
		for i, value := range strings.SplitN(string(key), "\xff", len(c.labels)+1)[:len(c.labels)] {
			labels = append(labels, label{c.labels[i], value})
		}
		s = &series{labels: p.plan.pairs.set(labels...)}
		c.series[string(key)] = s
		p.plan.kept++
	}
	return s
}

// put writes a series; the first of two with the same labels stays.
func (p *page) put(c *column, a about, value float64) {
	if s := p.series(c, a); s.scrape != p.plan.scrapes && p.add(c, s.labels, value) {
		s.scrape, s.at = p.plan.scrapes, len(p.out)-1
	}
}

// sum writes a series, or adds to it: parts that differ in nothing that the labels tell are one.
func (p *page) sum(c *column, a about, value float64) {
	s := p.series(c, a)
	if s.scrape != p.plan.scrapes {
		p.put(c, a, value)
		return
	}
	total := cell(p.out[s.at])
	if sum := *total + value; finite(sum) {
		*total = sum
	}
}

func cell(m *dto.Metric) *float64 {
	if m.Counter != nil {
		return m.Counter.Value
	}
	return m.Gauge.Value
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
