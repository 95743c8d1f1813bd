package deviceplugin

import (
	"slices"
	"time"
)

// shelf is one resource.
type shelf struct {
	table *table
	empty time.Time // since when it has no device; zero while it has, or may have at any moment
	// preStart: it has devices that need something done before their container starts, had such, or may get them.
	preStart bool
	possible bool // it stays registered without devices
	// told is when the table of that version was first seen to be with the kubelet.
	told        time.Time
	toldVersion uint64
}

// emptyFor is how long a resource without devices stays registered: the kubelet's node status period, so that the Node
// says 0 before the resource ends.
const emptyFor = 10 * time.Second

// shelf finds or makes the shelf of a resource.
func (b *book) shelf(resource string) *shelf {
	if b.shelves[resource] == nil {
		b.shelves[resource] = &shelf{}
	}
	delete(b.retired, resource)
	return b.shelves[resource]
}

// prepare keeps shelves for what may come, so that it is not held up by a registration then.
func (b *book) prepare(possible map[string]bool) {
	for _, sh := range b.shelves {
		sh.possible = false
	}
	for resource, preStart := range possible {
		sh := b.shelf(resource)
		sh.possible, sh.preStart = true, sh.preStart || preStart
	}
}

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
		b.shelf(resource)
	}
	for resource, sh := range b.shelves {
		entries := make([]entry, 0, len(order[resource]))
		for _, s := range order[resource] {
			entries = append(entries, s.entry)
		}
		if sh.table == nil || !sh.table.same(entries) {
			sh.table = newTable(resource, sh.table, entries)
			sh.preStart = sh.preStart || sh.table.preStart
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
	case devices > 0 || sh.possible:
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
