package ledger

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
)

// TestDollars holds devices for half a minute.
func TestDollars(t *testing.T) {
	const hour = 120 // times half a minute
	a, b, c := pod("a"), pod("b"), pod("c")
	small, sub := "1g.10gb", "1c.3g.40gb"
	for _, tt := range []struct {
		name     string
		prices   []Price
		capacity string
		holds    []sample.Hold
		want     []float64 // an hour, by container; -1: no price
	}{
		{"no prices", nil, "", []sample.Hold{hold(a, 0)}, []float64{-1}},
		{"by model, whatever the case", []Price{{Model: "tesla t?", DollarsPerHour: 2}}, "", []sample.Hold{hold(a, 0)}, []float64{2}},
		{"another model", []Price{{Model: "*A100*", DollarsPerHour: 2}}, "", []sample.Hold{hold(a, 0)}, []float64{-1}},
		{"the first that fits", []Price{{Model: "*H100*", DollarsPerHour: 9}, {Model: "*T4", DollarsPerHour: 2}, {Model: "*", DollarsPerHour: 1}}, "", []sample.Hold{hold(a, 0)}, []float64{2}},
		{"nothing is a price", []Price{{Model: "*", DollarsPerHour: 0}}, "", []sample.Hold{hold(a, 0)}, []float64{0}},
		{"an empty profile is no slice", []Price{{Model: "*", DollarsPerHour: 2}}, "", []sample.Hold{slice(a, small, 1)}, []float64{-1}},
		{"any slice", []Price{{Model: "*", Profile: "*", DollarsPerHour: 0.3}}, "", []sample.Hold{slice(a, small, 1)}, []float64{0.3}},
		{"any slice is no whole GPU", []Price{{Model: "*", Profile: "*", DollarsPerHour: 0.3}}, "", []sample.Hold{hold(a, 0)}, []float64{-1}},
		{"slices by name", []Price{{Model: "*A100*", Profile: "3G.*", DollarsPerHour: 3}, {Model: "*A100*", Profile: "1G.10GB", DollarsPerHour: 1}}, "", []sample.Hold{slice(a, small, 1)}, []float64{1}},
		{"a slice of a slice", []Price{{Model: "*", Profile: "1c.*", DollarsPerHour: 1}}, "", []sample.Hold{slice(a, sub, 1)}, []float64{1}},
		{"capacity type", []Price{{Model: "*", CapacityType: "Spot", DollarsPerHour: 1}, {Model: "*", DollarsPerHour: 3}}, "spot", []sample.Hold{hold(a, 0)}, []float64{1}},
		{"another capacity type", []Price{{Model: "*", CapacityType: "spot", DollarsPerHour: 1}, {Model: "*", DollarsPerHour: 3}}, "on-demand", []sample.Hold{hold(a, 0)}, []float64{3}},
		{"capacity type not known", []Price{{Model: "*", CapacityType: "spot", DollarsPerHour: 1}}, "", []sample.Hold{hold(a, 0)}, []float64{-1}},
		{"two devices", []Price{{Model: "*", Profile: "*", DollarsPerHour: 1}}, "", []sample.Hold{slice(a, small, 1), slice(a, small, 2)}, []float64{2}},
		{"shared by two", []Price{{Model: "*", DollarsPerHour: 2}}, "", []sample.Hold{hold(a, 1), hold(b, 2)}, []float64{1, 1}},
		{"containers share alike, however many replicas each has", []Price{{Model: "*", DollarsPerHour: 3}}, "", []sample.Hold{hold(a, 1), hold(a, 2), hold(b, 3), hold(c, 4)}, []float64{1, 1, 1}},
		{"a pattern that is none fits nothing", []Price{{Model: "[", DollarsPerHour: 3}, {Model: "*", DollarsPerHour: 1}}, "", []sample.Hold{hold(a, 0)}, []float64{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := New(Options{Prices: tt.prices, CapacityType: tt.capacity})
			l.Step(start(), node(tt.holds...))
			got := l.Step(after(30*time.Second), node(tt.holds...))
			if len(got) != len(tt.want) {
				t.Fatalf("there are %d accounts, want %d", len(got), len(tt.want))
			}
			for i, want := range tt.want {
				if want > 0 {
					want /= hour
				}
				near(t, "the cost of "+got[i].Pod, got[i].Dollars, want)
			}
		})
	}
}

func TestPricesChangeWhilePodsRun(t *testing.T) {
	l := New(Options{})
	set := node(hold(pod("a"), 0))
	dollars := func(minute int) float64 {
		var a sample.Account
		for s := -30; s <= 0; s += 30 {
			a = one(t, l.Step(after(time.Duration(minute)*time.Minute+time.Duration(s)*time.Second), set))
		}
		return a.Dollars
	}
	near(t, "the cost without prices", dollars(1), -1)
	l.SetOptions(Options{Prices: []Price{{Model: "*", DollarsPerHour: 60}}})
	near(t, "the cost a minute after there is a price", dollars(2), 1)
	l.SetOptions(Options{Prices: []Price{{Model: "*", DollarsPerHour: 120}}})
	near(t, "the cost at a new price", dollars(3), 3)
	l.SetOptions(Options{})
	near(t, "the cost when the price is gone", dollars(4), 3)
}

func TestAGPUThatIsNotInTheInventoryHasNoPrice(t *testing.T) {
	l := New(Options{Prices: []Price{{Model: "*", DollarsPerHour: 60}}})
	set := node(hold(pod("a"), 0))
	set.Snapshot = nil
	l.Step(start(), set)
	near(t, "the cost", one(t, l.Step(after(time.Second), set)).Dollars, -1)
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name  string
		price Price
		ok    bool
	}{
		{"whole GPU", Price{Model: "*A100*", DollarsPerHour: 1.5}, true},
		{"slice", Price{Model: "*", Profile: "1g.*"}, true},
		{"no model", Price{DollarsPerHour: 1}, false},
		{"bad model", Price{Model: "[a"}, false},
		{"bad profile", Price{Model: "*", Profile: "[]"}, false},
		{"negative", Price{Model: "*", DollarsPerHour: -1}, false},
	} {
		if err := c.price.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: the error is %v", c.name, err)
		}
	}
}
