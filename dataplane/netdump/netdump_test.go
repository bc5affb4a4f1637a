package netdump

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestWholeAsksAgain(t *testing.T) {
	asked := 0
	got, err := Whole(func() (int, error) {
		asked++
		if asked < 3 {
			return 0, netlink.ErrDumpInterrupted
		}
		return 7, nil
	})
	if got != 7 || err != nil || asked != 3 {
		t.Errorf("got %d, %v after %d lists", got, err, asked)
	}
}

func TestWholeGivesUp(t *testing.T) {
	asked := 0
	_, err := Whole(func() (int, error) { asked++; return 0, netlink.ErrDumpInterrupted })
	if !errors.Is(err, netlink.ErrDumpInterrupted) || asked != tries {
		t.Errorf("%v after %d lists", err, asked)
	}
}

func TestWholeTellsOtherErrorsAtOnce(t *testing.T) {
	broken := errors.New("broken")
	asked := 0
	if _, err := Whole(func() (int, error) { asked++; return 0, broken }); !errors.Is(err, broken) || asked != 1 {
		t.Errorf("%v after %d lists", err, asked)
	}
}
