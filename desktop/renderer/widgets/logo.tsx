/** The mark of Nest: two hosts and the path between them, held in a nest. */
interface LogoProps {
  /** Pixels, both ways. */
  readonly size: number;
}

export const Logo = ({ size }: LogoProps) => (
  <svg
    width={size}
    height={size}
    viewBox="0 0 48 48"
    fill="none"
    stroke="currentColor"
    strokeWidth="2.6"
    strokeLinecap="round"
    strokeLinejoin="round"
    aria-hidden="true"
    focusable="false"
  >
    <path d="M5 25c2.5 11 9.6 16.5 19 16.5S40.500 36 43 25" />
    <path d="M10.500 26.500c2.800 6 7.300 8.800 13.500 8.800s10.700-2.800 13.500-8.800" opacity="0.65" />
    <circle cx="15" cy="19.500" r="5.200" />
    <circle cx="34" cy="11.500" r="4.600" fill="currentColor" />
    <path d="M20.200 19.500h4.300c4 0 4.300-8 7.500-8" transform="translate(-1.500 0)" />
  </svg>
);
