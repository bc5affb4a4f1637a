package table

import (
	"slices"
	"testing"
)

// A table that grows row by row keeps the columns where they are.
func TestWidthsAreRemembered(t *testing.T) {
	o := Options{Widths: &Widths{}}
	rows := func(names ...string) Table {
		t := Table{Columns: cols("NAME AGE")}
		for _, n := range names {
			t.Rows = append(t.Rows, Row{Cells: []string{n, "1s"}})
		}
		return t
	}
	if got, want := Print(rows("a-long-name"), o), "NAME          AGE\na-long-name   1s\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	o.NoHeaders = true
	if got, want := Print(rows("b"), o), "b             1s\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAddressesInOrder(t *testing.T) {
	got := []string{"10.0.0.10:80", "10.0.0.9:81", "10.0.0.9:80", "10.0.0.11:80"}
	sortAddresses(got)
	if want := []string{"10.0.0.9:80", "10.0.0.9:81", "10.0.0.10:80", "10.0.0.11:80"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	bare := []string{"10.0.0.10", "10.0.0.9"}
	if sortAddresses(bare); bare[0] != "10.0.0.9" {
		t.Errorf("got %v", bare)
	}
}
