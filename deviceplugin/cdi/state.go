package cdi

import (
	"cmp"
	"slices"
)

// State is what status shows of the specs.
type State struct {
	Dir     string
	Devices []DeviceState // ordered by id
	Driver  DriverState
	Reasons []string // what is odd with the machine's nodes and files
}

// DeviceState is a device that exists with its spec.
type DeviceState struct {
	ID     string
	File   string   // empty: no spec
	Nodes  []string // such as "/dev/nvidia0 (195:0)"
	Reason string   // why it is not ready; empty when it is
}

// DriverState is the driver's spec.
type DriverState struct {
	File      string // empty: no spec
	Version   string // of the libraries; empty when there are none
	Libraries int
	Reason    string // what is missing; empty when nothing is
}

// State tells what is written and what is missing, from memory.
func (s *Specs) State() State {
	v, _ := s.view.Get()
	st := State{Dir: s.cfg.Dir, Driver: v.driver, Reasons: slices.Clone(v.reasons)}
	for id, e := range v.devices {
		d := DeviceState{ID: id, File: e.file}
		for _, n := range e.nodes {
			d.Nodes = append(d.Nodes, n.String())
		}
		if e.err != nil {
			d.Reason = e.err.Error()
		}
		st.Devices = append(st.Devices, d)
	}
	slices.SortFunc(st.Devices, func(a, b DeviceState) int { return cmp.Compare(a.ID, b.ID) })
	return st
}
