"""One layer each: modules that know no host."""
