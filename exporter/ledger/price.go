package ledger

import (
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/gpulet/gpulet/gpu"
)

// Price is what a device costs.
type Price struct {
	// Model and Profile are patterns of path.Match, upper and lower case alike. An empty Profile is that of a whole GPU,
	// any other is matched with the MIG profile's name: "*" is every slice and no whole GPU.
	Model, Profile string
	// CapacityType is empty for all.
	CapacityType string
	// DollarsPerHour is for one device, whole or slice; the containers that share it divide it.
	DollarsPerHour float64
}

// Validate says what is wrong with a price from a configuration.
func (p Price) Validate() error {
	for _, pattern := range []string{p.Model, p.Profile} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("the pattern %q: %w", pattern, err)
		}
	}
	if p.Model == "" {
		return fmt.Errorf("a price needs the pattern of a model, %q for all", "*")
	}
	if d := p.DollarsPerHour; d < 0 || math.IsNaN(d) || math.IsInf(d, 0) {
		return fmt.Errorf("%v dollars an hour is no price", d)
	}
	return nil
}

// priceList answers for the capacity type of this node; its patterns are in lower case.
type priceList []Price

func newPriceList(o Options) priceList {
	var l priceList
	for _, p := range o.Prices {
		if p.CapacityType != "" && !strings.EqualFold(p.CapacityType, o.CapacityType) {
			continue
		}
		p.Model, p.Profile = strings.ToLower(p.Model), strings.ToLower(p.Profile)
		l = append(l, p)
	}
	return l
}

// perSecond is the first price that fits a device; false when none does.
func (l priceList) perSecond(model string, d gpu.Device) (float64, bool) {
	model = strings.ToLower(model)
	profile := ""
	if d.Kind == gpu.Slice {
		profile = strings.ToLower(d.Slot.Profile.String())
	}
	for _, p := range l {
		if fits(p.Model, model) && (p.Profile == "") == (profile == "") && fits(p.Profile, profile) {
			return p.DollarsPerHour / 3600, true
		}
	}
	return 0, false
}

// fits is false for a pattern that is none; Validate has said so before.
func fits(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
