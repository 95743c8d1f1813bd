package deviceplugin

import (
	"slices"
	"time"
)

// shelf is one resource.
type shelf struct {
	table *table
	empty time.Time // since when it has no device; zero while it has
	// told is when the table of that version was first seen to be with the kubelet.
	told        time.Time
	toldVersion uint64
}

// emptyFor is how long a resource without devices stays registered: the kubelet's node status period, so that the Node
// says 0 before the resource ends.
const emptyFor = 10 * time.Second

// shelve makes the tables, and ends resources that have been empty for long enough.
func (b *book) shelve() {
	order := map[string][]*spot{}
	for _, s := range b.spots {
		if s.stage != unlisted {
			order[s.resource] = append(order[s.resource], s)
		}
	}
	for resource, spots := range order {
		slices.SortFunc(spots, bySpot)
		if b.shelves[resource] == nil {
			b.shelves[resource] = &shelf{}
		}
		delete(b.retired, resource)
	}
	for resource, sh := range b.shelves {
		entries := make([]entry, 0, len(order[resource]))
		for _, s := range order[resource] {
			entries = append(entries, s.entry)
		}
		if sh.table == nil || !sh.table.same(entries) {
			var version uint64
			if sh.table != nil {
				version = sh.table.version
			}
			sh.table = newTable(resource, version+1, entries)
		}
		for _, s := range order[resource] {
			if s.badVersion == 0 && !s.entry.healthy {
				s.badVersion = sh.table.version
			}
		}
		b.retire(resource, sh, len(entries))
	}
}

func (b *book) retire(resource string, sh *shelf, devices int) {
	switch {
	case devices > 0:
		sh.empty = time.Time{}
	case sh.empty.IsZero():
		sh.empty = b.now
		b.wake(b.now.Add(emptyFor))
	case b.now.Before(sh.empty.Add(emptyFor)):
		b.wake(sh.empty.Add(emptyFor))
	default:
		delete(b.shelves, resource)
		b.retired[resource] = b.now
	}
}
