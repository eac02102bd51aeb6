/** A file by reference, as such loops pass it on. */
export interface FileReference {
  readonly uri: string;
  readonly digest: string;
}

/** The no-op activities of T0. */
export const baselineActivities = {
  ingest: (item: number): Promise<FileReference> => Promise.resolve(referenceTo('ingest', item)),
  work: ({ item }: { readonly item: number; readonly data: FileReference }): Promise<FileReference> =>
    Promise.resolve(referenceTo('work', item)),
};

/** A look-up that finds nothing and reads nothing. */
export const baselineLocalActivities = {
  lookUp: (_item: number): Promise<FileReference | null> => Promise.resolve(null),
};

/** Their types, for the workflow. */
export type BaselineActivities = typeof baselineActivities;
export type BaselineLocalActivities = typeof baselineLocalActivities;

function referenceTo(name: string, item: number): FileReference {
  return { uri: `noop:///${name}/${item}`, digest: String(item).padStart(64, '0') };
}
