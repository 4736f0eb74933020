/** Headers of a page and of a segment's first page, in bytes (`XLogPageHeaderData`, `XLogLongPageHeaderData`). */
const PAGE_HEADERS = [24n, 40n];

/**
 * A log position just behind a page's header told as the page's beginning, where the record
 * before it ends: a reader of the log does not get past that until another record follows.
 */
export function withoutPageHeader(lsn: bigint, pageBytes: bigint): bigint {
  const within = lsn % pageBytes;
  return PAGE_HEADERS.includes(within) ? lsn - within : lsn;
}
