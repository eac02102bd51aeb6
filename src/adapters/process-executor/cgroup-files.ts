import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rmdir, stat } from 'node:fs/promises';

/** What control groups need of the system; a test puts a made-up kernel in its place. */
export interface CgroupFiles {
  /** @throws the operating system's error. */
  read(file: string): Promise<string>;
  /** Writes to a file that the kernel made; never makes one. @throws the operating system's error, `EBUSY` say. */
  write(file: string, text: string): Promise<void>;
  makeDirectory(directory: string): Promise<void>;
  removeDirectory(directory: string): Promise<void>;
  /** Names of the directories in a directory. */
  listDirectories(directory: string): Promise<string[]>;
  mayWrite(file: string): Promise<boolean>;
  modifiedAtMs(directory: string): Promise<number>;
}

/** The system's own. */
export const systemCgroupFiles: CgroupFiles = {
  read: async (file) => await readFile(file, 'utf8'),
  write: async (file, text) => {
    const handle = await open(file, constants.O_WRONLY);
    try {
      // One write is one command to the kernel.
      await handle.write(text);
    } finally {
      await handle.close();
    }
  },
  makeDirectory: async (directory) => {
    await mkdir(directory);
  },
  removeDirectory: async (directory) => await rmdir(directory),
  listDirectories: async (directory) =>
    (await readdir(directory, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name),
  mayWrite: async (file) =>
    await access(file, constants.W_OK).then(
      () => true,
      () => false,
    ),
  modifiedAtMs: async (directory) => (await stat(directory)).mtimeMs,
};
