"""Templates and annotated examples, as data: a package only so that an installed wheel finds them."""
