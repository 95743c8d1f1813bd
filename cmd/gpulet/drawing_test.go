package main

import (
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner"
)

func slot(t *testing.T, name string, start, size int, state partitioner.SlotState, exists bool) partitioner.SlotView {
	t.Helper()
	p, err := mig.ParseProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return partitioner.SlotView{Slot: mig.Slot{Profile: p, Placement: mig.Placement{Start: start, Size: size}}, State: state, Exists: exists}
}

func TestDrawing(t *testing.T) {
	g := partitioner.GPUView{MIG: true, Axis: 8, Slots: []partitioner.SlotView{
		slot(t, "1g.10gb", 0, 1, partitioner.SlotClaimed, true),
		slot(t, "1g.10gb+me", 1, 1, partitioner.SlotIdle, true),
		slot(t, "2g.20gb", 2, 2, partitioner.SlotOffered, false),
		slot(t, "1g.10gb", 4, 1, partitioner.SlotGoing, true),
		slot(t, "3g.40gb", 4, 4, partitioner.SlotComing, false),
	}}
	want := []string{
		"0        1        2        3        4        5        6        7",
		"1g.10gb  1g+me    2g.20gb           1g.10gb  ........ ........ ........",
		"######## ======== +++++++++++++++++ xxxxxxxx ........ ........ ........",
	}
	if got := draw(g); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := draw(partitioner.GPUView{Axis: 8}); got != nil {
		t.Errorf("a whole GPU is drawn: %q", got)
	}
}

func TestDrawingOfTwelveSlices(t *testing.T) {
	g := partitioner.GPUView{MIG: true, Axis: 12, Slots: []partitioner.SlotView{
		slot(t, "1g.24gb+me.all", 0, 3, partitioner.SlotHeld, true), slot(t, "2g.48gb-me", 6, 6, partitioner.SlotIdle, true),
	}}
	got := draw(g)
	if !strings.HasPrefix(got[1], "1g.24gb+me.all    ..... ..... ..... 2g.48gb-me") || !strings.HasPrefix(got[2], strings.Repeat("!", 17)+" .....") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
