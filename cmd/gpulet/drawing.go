package main

import (
	"fmt"
	"strings"

	"github.com/gpulet/gpulet/partitioner"
)

// drawWidth is how many characters the axis of a GPU takes at most.
const drawWidth = 72

// drawing is the axis of one GPU as lines of text: its memory slices, what is on them, and how that stands.
type drawing struct {
	gpu  partitioner.GPUView
	cell int // characters for each memory slice
}

// mark is the character that stands for a state in a drawing.
func mark(s partitioner.SlotState) string {
	switch s {
	case partitioner.SlotClaimed:
		return "#"
	case partitioner.SlotIdle:
		return "="
	case partitioner.SlotOffered:
		return "+"
	case partitioner.SlotComing:
		return ">"
	case partitioner.SlotGoing:
		return "x"
	case partitioner.SlotHeld:
		return "!"
	}
	return "?"
}

// legend explains the marks.
const legend = "# claimed   = idle, on offer   + on offer, made when a pod starts   > to be made   x to be destroyed   ! in use without a claim"

// draw gives the lines, none for a GPU that is not divided.
func draw(g partitioner.GPUView) []string {
	if g.Axis == 0 || !g.MIG && !g.Wanted && len(g.Slots) == 0 {
		return nil
	}
	d := drawing{g, max(drawWidth/g.Axis, 3)}
	return []string{d.scale(), d.row(d.names), d.row(d.states)}
}

// scale numbers the memory slices.
func (d drawing) scale() string {
	var b strings.Builder
	for i := range d.gpu.Axis {
		fmt.Fprintf(&b, "%-*d", d.cell, i)
	}
	return strings.TrimRight(b.String(), " ")
}

// row is one line of the axis; text gives what is in a slot of a width.
func (d drawing) row(text func(partitioner.SlotView, int) string) string {
	var b strings.Builder
	for at := 0; at < d.gpu.Axis; {
		s, ok := d.at(at)
		if !ok {
			b.WriteString(strings.Repeat(".", d.cell-1) + " ")
			at++
			continue
		}
		width := s.Slot.Placement.Size*d.cell - 1
		b.WriteString(text(s, width) + " ")
		at += s.Slot.Placement.Size
	}
	return strings.TrimRight(b.String(), " ")
}

// at is the slot that begins at a memory slice. What goes and what comes may overlap: what exists is drawn.
func (d drawing) at(start int) (found partitioner.SlotView, ok bool) {
	for _, s := range d.gpu.Slots {
		if s.Slot.Placement.Start == start && s.Slot.Placement.Size > 0 && (!ok || s.Exists && !found.Exists) && !d.covered(s) {
			found, ok = s, true
		}
	}
	return found, ok
}

// covered reports whether a slot that does not exist is under one that does.
func (d drawing) covered(s partitioner.SlotView) bool {
	for _, o := range d.gpu.Slots {
		if o.Exists && !s.Exists && o.Slot.Placement.Overlaps(s.Slot.Placement) {
			return true
		}
	}
	return false
}

func (d drawing) names(s partitioner.SlotView, width int) string {
	name := s.Slot.Profile.String()
	if len(name) > width {
		name = fmt.Sprintf("%dg%s", s.Slot.Profile.Slices, s.Slot.Profile.Attributes)
	}
	if len(name) > width {
		name = name[:width]
	}
	return fmt.Sprintf("%-*s", width, name)
}

func (d drawing) states(s partitioner.SlotView, width int) string {
	return strings.Repeat(mark(s.State), width)
}
